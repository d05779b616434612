"""Moments are carried from one optimizer to the next."""

import keras
import numpy as np
import pytest

from kertl.optimizers import carry_moments, discriminative, optimizer_named
from kertl.recipe import OPTIMIZERS
from tests.optimizers.grouped import array, gradients, model, slots, variables


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


@pytest.mark.parametrize("ways", [("plain", "by group"), ("by group", "plain"), ("by group", "by group")])
def test_moments_are_carried_from_and_to_an_optimizer_with_rates_by_group(ways):
    trained = model()
    everything = trained.trainable_variables
    head = everything[-2:]

    def made(way, name, of):
        if way == "plain":
            return optimizer_named(name, 0.01, of, weight_decay=0.1)
        return discriminative(name, trained, peak=0.01, layer_decay=0.5, weight_decay=0.1, variables=of)

    for name in ("adamw", "muon"):
        old, new = made(ways[0], name, head), made(ways[1], name, everything)
        old.apply(gradients(head))
        assert carry_moments(old, head, new, everything) == 2
        for place in (0, 1):
            before, after = slots(old, place), slots(new, len(everything) - 2 + place)
            assert before.keys() == after.keys()
            assert any(np.any(moment) for moment in before.values())
            assert all(np.array_equal(before[slot], after[slot]) for slot in before)
        assert not any(np.any(moment) for moment in slots(new, 0).values())
        assert carry_moments(old, head, made(ways[1], "rmsprop", everything), everything) == 0
