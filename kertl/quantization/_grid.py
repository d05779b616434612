"""The grids of 8 bits: one for each activation, one for each output channel of a kernel; and rounding to them.

The gradient passes the rounding as if it were not there, and is zero where an activation is cut off (a straight-through
estimator). It is written with `stop_gradient`, since TensorFlow keeps what a custom gradient was traced with for good.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

STEP = 1 / 256
"""One step of a probability in 8 bits, as LiteRT fixes it for softmax and sigmoid."""
PROBABILITIES = (0.0, 255 * STEP)
"""The range of a softmax or sigmoid."""
PIXELS = (0.0, 255.0)
_STEPS = 255
_LARGEST = 127
_LEAST = 1e-8  # no channel has a smaller grid, or 0 would be divided by 0


def rounded(values: Any, low: Any, high: Any, *, down: bool = False) -> Any:
    """Activations on the grid of 256 steps from `low` to `high`, moved so that 0 is one of them.

    They go to the nearest step, or `down` to the one below.
    """
    scale, zero = _grid(low, high)
    inside = ops.clip(values, -zero * scale, (_STEPS - zero) * scale)
    on_grid = ((ops.floor if down else _nearest)(inside / scale + zero) - zero) * scale
    return inside + ops.stop_gradient(on_grid - inside)


def ends(low: float, high: float) -> tuple[float, float]:
    """The first and the last step of the grid for a range."""
    scale, zero = (float(keras.ops.convert_to_numpy(one)) for one in _grid(np.float32(low), np.float32(high)))
    return -zero * scale, (_STEPS - zero) * scale


def rounded_kernel(kernel: Any, axes: tuple[int, ...]) -> Any:
    """A kernel on grids of -127 to 127, one for each output channel; `axes` are those of one channel's weights."""
    largest = ops.max(ops.abs(ops.stop_gradient(kernel)), axis=axes, keepdims=True)
    scale = ops.maximum(largest / _LARGEST, _LEAST)
    return kernel + ops.stop_gradient(_nearest(kernel / scale) * scale - kernel)


def _grid(low: Any, high: Any) -> tuple[Any, Any]:
    low, high = ops.minimum(low, 0.0), ops.maximum(high, 0.0)
    scale = ops.maximum((high - low) / _STEPS, _LEAST)
    return scale, _nearest(-low / scale)


def _nearest(values: Any) -> Any:
    """The nearest whole number, of two as near the upper."""
    return ops.floor(values + 0.5)
