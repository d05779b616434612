import keras
import numpy as np
import pytest

from kertl.optimizers import optimizer_named
from kertl.recipe import OPTIMIZERS
from tests.messages import assert_names
from tests.optimizers.grouped import array, gradients, variables

CLASSES = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "sgd_nesterov": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,
    "muon": keras.optimizers.Muon,
}
MOMENTUM = {"sgd": 0.9, "sgd_nesterov": 0.9, "muon": 0.95}


def test_every_optimizer_that_a_recipe_may_name_is_made():
    assert set(CLASSES) == set(OPTIMIZERS)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_of_its_class_built_and_has_the_rate_and_decay(name, weight_decay):
    trained = variables()
    optimizer = optimizer_named(name, 0.02, trained, weight_decay=weight_decay)
    assert type(optimizer) is CLASSES[name]
    assert optimizer.built
    assert float(optimizer.learning_rate) == pytest.approx(0.02)
    assert (optimizer.weight_decay or 0.0) == weight_decay
    assert getattr(optimizer, "momentum", 0.0) == MOMENTUM.get(name, 0.0)
    assert getattr(optimizer, "nesterov", False) == (name in ("sgd_nesterov", "muon"))
    optimizer.apply(gradients(trained))
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_without_gradient_takes_the_decay_from_kernels_and_nothing_from_vectors(name):
    kernel, bias, scale = (keras.Variable(np.ones(shape, "float32")) for shape in ((2, 2), (2,), ()))
    optimizer = optimizer_named(name, 0.5, [kernel, bias, scale], weight_decay=0.01)
    optimizer.apply([keras.ops.zeros(variable.shape) for variable in (kernel, bias, scale)])
    np.testing.assert_allclose(array(kernel), 1 - 0.5 * 0.01, rtol=1e-6)
    np.testing.assert_array_equal(array(bias), 1)
    np.testing.assert_array_equal(array(scale), 1)


def test_a_schedule_may_be_given_as_the_rate():
    trained = variables()
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [1.0, 0.25])
    optimizer = optimizer_named("sgd", schedule, trained)
    assert float(optimizer.learning_rate) == 1.0
    optimizer.apply(gradients(trained))
    assert float(optimizer.learning_rate) == 0.25


def test_an_unknown_optimizer_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"`optimizer` must be .*'lion'.* optimizer='adamax'.*'adam"):
        optimizer_named("adamax", 0.1, variables())


@pytest.mark.parametrize("decay", [-0.1, float("nan"), "0.1", None])
def test_a_weight_decay_below_zero_is_refused(decay):
    with pytest.raises(ValueError, match="Received") as caught:
        optimizer_named("adam", 0.1, variables(), weight_decay=decay)
    assert_names(caught.value, "`weight_decay`", ">= 0", f"weight_decay={decay!r}")
