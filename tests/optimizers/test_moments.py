"""Moments are carried from one optimizer to the next."""

import keras
import numpy as np
import pytest

from kertl.optimizers import begin_schedule_again, carry_moments, discriminative, discriminative_class, optimizer_named
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


KINDS = ("SGD", "RMSprop", "Adam", "AdamW", "Nadam", "Adamax", "Lamb", "Lion", "Muon")


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_carried_variables_move_as_by_an_optimizer_that_was_never_replaced(kind, grouped):
    a, b = (keras.Variable(np.ones((3, 2)), dtype="float32", name=name) for name in "ab")

    def made(variables):
        plain = getattr(keras.optimizers, kind)(0.01)
        if not grouped:
            plain.build(variables)
            return plain
        group = {"group_multipliers": {"all": 1.0}, "variable_groups": ["all"] * len(variables), "undecayed": []}
        found = discriminative_class(type(plain)).from_config({**plain.get_config(), **group})
        found.build(variables)
        return found

    def trained(replaced_after):
        for variable in (a, b):
            variable.assign(np.ones((3, 2)))
        optimizer, known = made([a]), [a]
        for step in range(12):
            if step in replaced_after:
                following = made([b, a] if step == 7 else [a])
                carry_moments(optimizer, known, following, [b, a] if step == 7 else [a])
                optimizer, known = following, [b, a] if step == 7 else [a]
            (gradient,) = gradients([a], step)
            optimizer.apply([gradient] if len(known) == 1 else [keras.ops.zeros_like(b), gradient])
        return array(a)

    np.testing.assert_allclose(trained({4, 7}), trained(()), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Nadam", "Adamax", "Lamb"])
def test_variables_that_are_new_to_training_begin_as_with_a_new_optimizer(kind):
    a, b = (keras.Variable(np.ones((3, 2)), dtype="float32", name=name) for name in "ab")
    old, new, alone = (getattr(keras.optimizers, kind)(0.01) for _ in range(3))
    old.build([a])
    new.build([a, b])
    for step in range(50):
        old.apply(gradients([a], step))
    carry_moments(old, [a], new, [a, b])
    for step in range(3):
        new.apply([keras.ops.zeros_like(a), *gradients([b], step)])
    moved = array(b)
    b.assign(np.ones((3, 2)))
    alone.build([b])
    for step in range(3):
        alone.apply(gradients([b], step))
    np.testing.assert_allclose(moved, array(b), rtol=1e-6)


@pytest.mark.promise
@pytest.mark.slow
def test_a_schedule_begins_again_while_moments_go_on():
    # The first steps of a later stage move as the schedule says: about 0.30 of it with the new count for both.
    (a,) = (keras.Variable(np.zeros(4), dtype="float32"),)
    old, new = (keras.optimizers.Adam(0.01) for _ in range(2))
    for optimizer in (old, new):
        optimizer.build([a])
    ones = [keras.ops.ones(4)]
    for _ in range(500):
        old.apply(ones)
    carry_moments(old, [a], new, [a])
    before = array(a)
    for _ in range(10):
        new.apply(ones)
    assert int(new.iterations) == 10
    np.testing.assert_allclose(before - array(a), 10 * 0.01, rtol=1e-3)
    begin_schedule_again(new)
    new.apply(ones)
    assert int(new.iterations) == 1
    assert keras.ops.convert_to_numpy(new.steps_before).tolist() == [510]


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
