"""Taking over what an earlier optimizer has learnt about its variables."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kertl._keras import NO_MOMENTS, steps_taken, trained_count
from kertl.optimizers._grouped import plain_class
from kertl.optimizers._steps import count_by_variable


def carry_moments(
    old: keras.optimizers.Optimizer,
    old_variables: Iterable[Any],
    new: keras.optimizers.Optimizer,
    new_variables: Iterable[Any],
) -> int:
    """Copy the moments of the variables that `old` trained into `new`; how many variables had some.

    They continue as if `old` had never been replaced: the number of steps that each was trained for, by which Adam and
    its relatives correct their moments, is carried too. The step count of `new`, which its schedule follows, is
    unchanged, and variables that did not train before begin as with a new optimizer.

    Args:
        old: The optimizer of the previous stage, of the same class as `new`, with or without a rate per layer group;
            another class carries nothing.
        old_variables: The variables that `old` was built for, in that order.
        new: An optimizer that has been built.
        new_variables: The variables that `new` was built for, in that order.

    Example:
        >>> import keras
        >>> from kertl.optimizers import carry_moments, optimizer_named
        >>> a, b = keras.Variable([1.0]), keras.Variable([2.0])
        >>> old = optimizer_named("sgd", 0.1, [a])
        >>> old.apply([keras.ops.convert_to_tensor([1.0])])
        >>> new = optimizer_named("sgd", 0.1, [b, a])
        >>> carry_moments(old, [a], new, [b, a])
        1
        >>> [round(float(keras.ops.squeeze(momentum)), 4) for momentum in new.momentums]
        [0.0, -0.1]
    """
    old, new = _inner(old), _inner(new)
    if plain_class(old) is not plain_class(new):
        return 0
    old_places = {id(variable): place for place, variable in enumerate(old_variables)}
    new_variables = list(new_variables)
    common = [(old_places[id(v)], place) for place, v in enumerate(new_variables) if id(v) in old_places]
    new_slots = dict(_slots(new, len(new_variables)))
    for name, slots in _slots(old, len(old_places)):
        for old_place, new_place in common:
            if name in new_slots and _holds(slots[old_place]) and _holds(new_slots[name][new_place]):
                new_slots[name][new_place].assign(slots[old_place])
    if common:
        _carry_steps(old, new, common)
    return len(common)


def _carry_steps(old: Any, new: Any, common: Iterable[tuple[int, int]]) -> None:
    """Note for each variable how many steps it was trained for."""
    before = np.array(keras.ops.convert_to_numpy(count_by_variable(new)))
    trained = keras.ops.convert_to_numpy(getattr(old, "steps_before", 0)) + np.zeros(trained_count(old), int)
    for old_place, new_place in common:
        before[new_place] = trained[old_place] + int(keras.ops.convert_to_numpy(steps_taken(old)))
    new.steps_before.assign(before)


def _inner(optimizer: Any) -> Any:
    """The optimizer inside a `LossScaleOptimizer`."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _slots(optimizer: Any, count: int) -> Iterator[tuple[str, list[Any]]]:
    """The optimizer's lists with one variable per trained variable, by attribute name."""
    for name, value in vars(optimizer).items():
        if name in NO_MOMENTS:
            continue
        if isinstance(value, list) and len(value) == count and any(_holds(item) for item in value):
            yield name, value


def _holds(item: Any) -> bool:
    return isinstance(item, keras.Variable)
