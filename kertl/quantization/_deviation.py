"""The standard deviation of each channel, as a head of many depths pools maps: three operations in a row."""

from collections.abc import Sequence
from typing import Any

import keras

from kertl.groups import Ref, Step

_MOST_ADDED = 1e-3
"""The most that is added to a variance, which in 8 bits is nothing."""


def is_deviation(steps: Sequence[Step]) -> bool:
    """Whether these are a variance over the pixels of a map, a small number added, and the root of that."""
    if [type(step.operation).__name__ for step in steps] != ["Var", "Add", "Sqrt"]:
        return False
    variance: Any = steps[0].operation
    return tuple(variance.axis or ()) == (1, 2) and not variance.keepdims and 0 <= added(steps[1]) <= _MOST_ADDED


def added(step: Step) -> float:
    """The number that an addition adds; infinity if it adds anything else."""
    constants = [leaf for leaf in keras.tree.flatten((step.args, step.kwargs)) if not isinstance(leaf, Ref)]
    single = len(step.inputs) == 1 and len(constants) == 1 and isinstance(constants[0], float)
    return constants[0] if single else float("inf")
