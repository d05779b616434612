import json

import keras
import numpy as np
import pytest

import kertl
from kertl import hardware
from kertl.hardware import _multi_worker
from kertl.hardware._mirrored import Mirrored
from kertl.hardware._model_parallel import divided
from tests.messages import assert_names
from tests.runs import python, quick, recipe, squares, tiny


@pytest.fixture
def of_four():
    return Mirrored(hardware.Choice("gpu", "mirrored", tuple(f"gpu:{n}" for n in range(4)), 1, 0, "float32", ()))


def test_on_one_device_nothing_changes():
    with hardware.setup("cpu") as scope:
        assert hardware.replicas() == scope.replicas == scope.workers == 1
        assert scope.chief
        assert hardware.team().size == 1
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        assert hardware.multi_worker(model) is model


def test_the_batch_is_that_of_all_replicas(of_four):
    assert of_four.batch_size(per_replica=32) == 128
    with pytest.raises(ValueError, match="`per_replica` must be a whole number >= 1"):
        of_four.batch_size(0)


def test_a_rate_goes_with_the_batch_as_is_asked(of_four):
    rates = {scaling: of_four.learning_rate(0.1, scaling=scaling) for scaling in hardware.SCALINGS}
    assert rates == {"none": 0.1, "linear": pytest.approx(0.4), "sqrt": pytest.approx(0.2)}
    assert of_four.learning_rate(0.1) == 0.1
    with pytest.raises(ValueError, match="Received") as caught:
        of_four.learning_rate(0.1, scaling="square")
    assert_names(caught.value, "`scaling`", "'linear'", "'sqrt'", "scaling='square'")


def test_training_takes_up_the_precision_of_the_innermost_scope_unless_something_else_is_said():
    assert hardware.precision_in_scope() is None
    data, one = squares(per_class=8), recipe(quick())
    with hardware.setup("cpu", precision="mixed_float16"), hardware.setup("cpu", precision="mixed_bfloat16"):
        run = kertl.fine_tune(tiny(), data, recipe=one, verbose=0)
        other = kertl.fine_tune(tiny(), data, recipe=one, precision="float32", verbose=0)
    assert run.recipe.precision == "mixed_bfloat16"
    assert other.recipe.precision == "float32"
    assert hardware.precision_in_scope() is None


VIRTUAL = """
import json
from kertl import hardware
from kertl.hardware import _multi_worker

with hardware.setup("cpu", devices={devices}) as scope:
    import keras
    import kertl
    from tests.hardware.several import PLAIN, still
    from tests.runs import classifier, quick, recipe, squares, values

    model = classifier(1, still, dropout=0.0, batch_norm=False)
    stages = recipe(quick("deep", **PLAIN), quick("full", **PLAIN))
    kertl.fine_tune(model, squares(), recipe=stages, verbose=0)
    print(json.dumps([scope.replicas, scope.choice.strategy, [float(abs(v).sum()) for v in values(model.weights)]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "strategy"),
    [("tensorflow", "mirrored"), pytest.param("jax", "data_parallel", marks=pytest.mark.promise)],
)
def test_two_virtual_devices_train_as_one_does(backend, strategy):
    pytest.importorskip(backend)
    found = [
        json.loads(python(VIRTUAL.format(devices=count), KERAS_BACKEND=backend).splitlines()[-1]) for count in (1, 2)
    ]
    assert [one[:2] for one in found] == [[1, "one_device"], [2, strategy]]
    assert found[1][2] == pytest.approx(found[0][2], rel=1e-5)


SPREAD = """
import json
from kertl import hardware

with hardware.setup("cpu", devices={devices}, model_parallel={parts}) as scope:
    import keras
    import kertl
    from tests.runs import NAMES, quick, recipe, squares, values

    keras.utils.set_random_seed(1)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for number, filters in enumerate((64, 64, 64), 1):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"block_{{number}}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block_{{number}}_bn")(x)
        x = keras.layers.ReLU(name=f"block_{{number}}_relu")(x)
    model = kertl.build(keras.Model(inputs, x), class_names=NAMES, head=kertl.Head(dropout=0.0))
    stage = quick("full", learning_rate=0.01, label_smoothing=0.0, optimizer="sgd")
    kertl.fine_tune(model, squares(), recipe=recipe(stage), verbose=0)
    arrays = [variable.value for variable in model.variables]
    held = sum(array.addressable_shards[0].data.nbytes for array in arrays) / sum(array.nbytes for array in arrays)
    weights = [value.tolist() for value in values(model.weights)]
    said = kertl.predict(model, squares().validation).tolist()
    kertl.fine_tune(model, squares(), recipe=recipe(quick("deep")), verbose=0)
    kertl.predict(model, squares().validation)
    print(json.dumps([scope.replicas, scope.choice.strategy, held, weights, said]))
"""


@pytest.mark.slow
@pytest.mark.promise
def test_a_model_that_is_spread_over_devices_trains_as_on_one():
    pytest.importorskip("jax")
    told = [{"devices": 1, "parts": 1}, {"devices": 4, "parts": 2}]
    alone, spread = (json.loads(python(SPREAD.format(**one), KERAS_BACKEND="jax").splitlines()[-1]) for one in told)
    assert alone[:3] == [1, "one_device", 1.0]
    assert spread[:2] == [2, "model_parallel"]
    assert spread[2] < 0.6, "of what is in the large kernels, each device has half"
    for one, other in zip(alone[3], spread[3], strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6)
    np.testing.assert_allclose(spread[4], alone[4], rtol=0, atol=1e-5)


def test_large_arrays_are_divided_along_their_outputs_or_else_their_inputs():
    assert divided((3, 3, 64, 128), 2) == [None, None, None, "model"]
    assert divided((3, 3, 512, 30), 4) == [None, None, "model", None]
    assert divided((3, 3, 333, 333), 2) == [None] * 4, "what cannot be divided is everywhere"
    assert divided((1, 1, 8, 8), 2) == [None] * 4, "small"
    assert divided((2**20,), 2) == [None]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's devices")
def test_virtual_devices_that_come_too_late_are_refused():
    keras.ops.ones(1)  # TensorFlow starts
    with pytest.raises(ValueError, match="`devices` must be at most 1") as caught, hardware.setup("cpu", devices=2):
        pass
    assert_names(caught.value, "before anything else uses TensorFlow", "devices=2")


def test_a_version_of_keras_that_lacks_what_workers_need_is_named(monkeypatch):
    monkeypatch.setattr(_multi_worker, "has_workers", lambda strategy: True)
    monkeypatch.setattr(_multi_worker, "gone", lambda names: [one.name for one in names])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(RuntimeError, match=r"(?s)Keras must have .*without _maybe_symbolic_build"):
        hardware.multi_worker(model)
    with pytest.raises(ValueError, match="`model` must be a functional or sequential model"):
        hardware.multi_worker(keras.Sequential([keras.layers.Dense(1)]))
