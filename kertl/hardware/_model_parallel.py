"""One copy of the model spread over several devices of one process, on JAX, for a backbone that does not fit one."""

from typing import Any

import keras
import numpy as np

from kertl.hardware._choice import Choice
from kertl.hardware._data_parallel import DataParallel

_LARGE = 2**14
"""Numbers from which on an array is divided; smaller ones are cheaper to have everywhere than to gather."""


class ModelParallel(DataParallel):
    """`keras.distribution.ModelParallel`: each device has a part of every large kernel, and of its moments.

    The devices form as many groups as fit; each group holds one copy of the model and takes its share of each batch.
    """

    @property
    def replicas(self) -> int:
        """As `Scope.replicas`: the number of groups of devices."""
        return len(self.choice.devices) // self.choice.model_parallel

    def _spread(self) -> Any:
        return ByShape(self.choice)


class ByShape(keras.distribution.ModelParallel):
    """Keras' distribution, whose layouts follow from the shapes of variables, whatever layers are called.

    Args:
        choice: The devices, and over how many of them one copy is spread.
    """

    def __init__(self, choice: Choice) -> None:
        parts = choice.model_parallel
        mesh = keras.distribution.DeviceMesh(
            shape=(len(choice.devices) // parts, parts), axis_names=["batch", "model"], devices=list(choice.devices)
        )
        super().__init__(
            layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name="batch", auto_shard_dataset=False
        )
        self._kertl_parts = parts

    def get_variable_layout(self, variable: Any) -> Any:
        """The layout of one variable: divided along its outputs, or else its inputs, if it is large."""
        if (already := getattr(variable, "_layout", None)) is not None:
            return already
        return keras.distribution.TensorLayout(divided(tuple(variable.shape), self._kertl_parts), self.device_mesh)


def divided(shape: tuple[int, ...], parts: int) -> list[str | None]:
    """For each axis of an array "model" where it is divided into so many parts, or else None."""
    axes: list[str | None] = [None] * len(shape)
    if len(shape) > 1 and np.prod(shape) >= _LARGE:
        for axis in (-1, -2):
            if shape[axis] % parts == 0:
                axes[axis] = "model"
                break
    return axes
