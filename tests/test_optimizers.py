import keras
import numpy as np
import pytest

from kertl.optimizers import carry_moments, optimizer_named
from kertl.recipe import OPTIMIZERS

CLASSES = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,
}


def array(value):
    return np.array(keras.ops.convert_to_numpy(value))


def variables(count=3, shape=(2, 3), seed=0):
    random = np.random.default_rng(seed)
    return [keras.Variable(random.normal(size=shape).astype("float32"), name=f"v{k}") for k in range(count)]


def gradients(of, seed=1):
    random = np.random.default_rng(seed)
    return [keras.ops.convert_to_tensor(random.normal(size=v.shape).astype("float32")) for v in of]


def slots(optimizer, place):
    """The moments of one variable, by name of the list that holds them."""
    lists = {name: value for name, value in vars(optimizer).items() if isinstance(value, list) and len(value) > place}
    return {
        name: array(value[place])
        for name, value in lists.items()
        if isinstance(value[place], keras.Variable) and name not in ("_variables", "_trainable_variables")
    }


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
    assert getattr(optimizer, "momentum", 0.0) == (0.9 if name == "sgd" else 0.0)
    optimizer.apply(gradients(trained))
    assert int(optimizer.iterations) == 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_without_gradient_takes_the_decay_from_kernels_and_nothing_from_vectors(name):
    kernel, bias, scale = keras.Variable(np.ones((2, 2))), keras.Variable(np.ones(2)), keras.Variable(1.0)
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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_carried_moments_are_equal_and_those_of_new_variables_are_zero(name):
    a, b, c = variables()
    old = optimizer_named(name, 0.01, [a, b], weight_decay=0.1)
    for seed in range(3):
        old.apply(gradients([a, b], seed))
    new = optimizer_named(name, 0.01, [c, b, a], weight_decay=0.1)
    fresh = slots(new, 0)
    assert carry_moments(old, [a, b], new, [c, b, a]) == 2
    for place, old_place in ((2, 0), (1, 1)):
        before = slots(old, old_place)
        assert any(np.any(moment) for moment in before.values())
        after = slots(new, place)
        assert after.keys() == before.keys()
        for slot in before:
            np.testing.assert_array_equal(after[slot], before[slot], err_msg=slot)
    for slot, value in slots(new, 0).items():
        np.testing.assert_array_equal(value, fresh[slot])
        assert not np.any(value)
    assert int(new.iterations) == 0
    assert int(old.iterations) == 3


def test_the_old_optimizer_is_left_as_it_was():
    a, b = variables(2)
    old = optimizer_named("adam", 0.01, [a])
    old.apply(gradients([a]))
    before = [array(variable) for variable in old.variables]
    new = optimizer_named("adam", 0.01, [a, b])
    carry_moments(old, [a], new, [a, b])
    new.apply(gradients([a, b]))
    assert all(np.array_equal(x, array(y)) for x, y in zip(before, old.variables, strict=True))


@pytest.mark.parametrize("carried", [True, False])
def test_the_first_step_of_adam_is_its_formula_at_step_one_over_the_carried_moments(carried):
    # Kingma & Ba, "Adam", 2015, algorithm 1, with epsilon outside of the corrected root as in section 2's last lines.
    (a,) = variables(1)
    old, rate, first, second, epsilon = optimizer_named("adam", 0.01, [a]), 0.01, 0.9, 0.999, 1e-7
    for seed in range(2):
        old.apply(gradients([a], seed))
    m, v = array(old._momentums[0]), array(old._velocities[0])
    new = optimizer_named("adam", rate, [a])
    if carried:
        carry_moments(old, [a], new, [a])
    else:
        m, v = np.zeros_like(m), np.zeros_like(v)
    (g,) = gradients([a], 9)
    expected = array(a)
    m = first * m + (1 - first) * array(g)
    v = second * v + (1 - second) * array(g) ** 2
    expected -= rate * np.sqrt(1 - second) / (1 - first) * m / (np.sqrt(v) + epsilon)
    new.apply([g])
    np.testing.assert_allclose(array(a), expected, rtol=1e-5)


def test_another_class_of_optimizer_carries_nothing():
    (a,) = variables(1)
    old = optimizer_named("adam", 0.01, [a])
    old.apply(gradients([a]))
    for name in ("adamw", "sgd", "rmsprop", "lion"):
        new = optimizer_named(name, 0.01, [a], weight_decay=0.1)
        assert carry_moments(old, [a], new, [a]) == 0
        assert not any(np.any(value) for value in slots(new, 0).values())


def test_no_variable_in_common_carries_nothing():
    a, b = variables(2)
    old, new = optimizer_named("adam", 0.01, [a]), optimizer_named("adam", 0.01, [b])
    old.apply(gradients([a]))
    assert carry_moments(old, [a], new, [b]) == 0
    assert not any(np.any(value) for value in slots(new, 0).values())


@pytest.mark.parametrize(("wrap_old", "wrap_new"), [(True, True), (True, False), (False, True)])
def test_a_loss_scale_optimizer_carries_the_moments_of_the_one_inside(wrap_old, wrap_new):
    def wrapped(optimizer, trained, wrap):
        if not wrap:
            return optimizer
        scaled = keras.optimizers.LossScaleOptimizer(optimizer)
        scaled.build(trained)
        return scaled

    a, b = variables(2)
    inner_old, inner_new = optimizer_named("adam", 0.01, [a]), optimizer_named("adam", 0.01, [a, b])
    inner_old.apply(gradients([a]))
    old, new = wrapped(inner_old, [a], wrap_old), wrapped(inner_new, [a, b], wrap_new)
    assert carry_moments(old, [a], new, [a, b]) == 1
    np.testing.assert_array_equal(array(inner_new._momentums[0]), array(inner_old._momentums[0]))
    assert np.any(array(inner_new._momentums[0]))
    assert int(inner_new.iterations) == 0


def test_an_unknown_optimizer_is_answered_with_the_nearest():
    message = (
        r"`optimizer` must be 'adamw' or 'adam' or 'sgd' or 'rmsprop' or 'lion'\. Received: optimizer='adamax'\. "
        r"Did you mean "
    )
    with pytest.raises(ValueError, match=message):
        optimizer_named("adamax", 0.1, variables())


@pytest.mark.parametrize("decay", [-0.1, float("nan"), "0.1", None])
def test_a_weight_decay_below_zero_is_refused(decay):
    with pytest.raises(ValueError, match="Received") as caught:
        optimizer_named("adam", 0.1, variables(), weight_decay=decay)
    assert str(caught.value) == f"`weight_decay` must be a number >= 0. Received: weight_decay={decay!r}."
