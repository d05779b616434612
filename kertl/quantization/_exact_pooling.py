"""The steps of a standard deviation in whole numbers, as LiteRT's own kernels compute them: XNNPACK has none."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kertl.quantization._exact_grid import HIGH, LOW, Grid

_FINER = 7  # bits that a difference has more than what it is of
_BITS = 31  # of a factor


def squared_differences(taken: Sequence[Any], before: Sequence[Grid], after: Grid) -> Any:
    """Squares of the differences of two tensors, which are brought to one finer grid first."""
    import tensorflow as tf

    scales = [float(grid.scale) for grid in before]
    twice = 2 * max(scales)
    one, other = (
        _times(tf.cast(values - grid.zero, tf.int64) * 2**_FINER, scale / twice)
        for values, grid, scale in zip(taken, before, scales, strict=True)
    )
    squares = _times((one - other) ** 2, twice**2 / (2 ** (2 * _FINER) * float(after.scale)))
    return tf.clip_by_value(tf.cast(squares, tf.float32) + after.zero, LOW, HIGH)


def root(values: Any, before: Grid, after: Grid) -> Any:
    """The root, on the step below."""
    import tensorflow as tf

    real = tf.sqrt((values - before.zero) * before.scale)
    return tf.clip_by_value(tf.floor(real / after.scale) + after.zero, LOW, HIGH)


def _times(values: Any, factor: float) -> Any:
    """Whole numbers times a factor of 31 bits and a power of two, each time to the nearest; halves away from 0."""
    import tensorflow as tf

    mantissa, exponent = np.frexp(factor)
    whole = round(mantissa * 2**_BITS)
    product = values * 2 ** max(int(exponent), 0) * whole
    high = tf.sign(product) * ((tf.abs(product) + 2 ** (_BITS - 1)) // 2**_BITS)
    right = 2 ** max(-int(exponent), 0)
    return tf.sign(high) * ((tf.abs(high) + right // 2) // right)
