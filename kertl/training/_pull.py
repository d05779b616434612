"""L2-SP: keeping fine-tuned weights near those that they started from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


class L2SP(keras.regularizers.Regularizer):
    """`strength / 2 * sum((w - start) ** 2)`, added to the variable's previous regulariser.

    Args:
        strength: > 0.
        start: The values to stay near.
        before: The regulariser that the variable has, or None.
    """

    def __init__(self, strength: float, start: np.ndarray, before: Any = None) -> None:
        self._strength, self._before = strength, before
        self._start = keras.ops.convert_to_tensor(start)

    def __call__(self, x: Any) -> Any:
        """The penalty, a scalar."""
        moved = keras.ops.cast(x, "float32") - self._start
        pull = self._strength / 2 * keras.ops.sum(keras.ops.square(moved))
        return pull if self._before is None else pull + self._before(x)


@contextmanager
def pulled(layers: Sequence[Any], start: Mapping[int, np.ndarray], strength: float) -> Iterator[None]:
    """Pull the trainable variables of some layers towards their start, while models that share them are trained.

    Args:
        layers: The layers of the backbone.
        start: The value that each variable began with, by the variable's `id`.
        strength: As in `kertl.Stage(l2_sp=...)`; 0 turns it off.

    Reference:
        Li, Grandvalet & Davoine, "Explicit Inductive Bias for Transfer Learning with Convolutional Networks", 2018.
        https://arxiv.org/abs/1802.01483
    """
    if not strength:
        yield
        return
    found = {id(variable): variable for layer in layers for variable in layer.trainable_variables}
    before = [(variable, variable.regularizer) for variable in found.values()]
    try:
        for variable, regularizer in before:
            variable.regularizer = L2SP(strength, start[id(variable)], regularizer)
        yield
    finally:
        for variable, regularizer in before:
            variable.regularizer = regularizer
