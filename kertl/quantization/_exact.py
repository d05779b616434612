"""The network in whole numbers, as LiteRT's runtime (XNNPACK) computes it: what an export is held against.

The rounded network says the same in real numbers, but whoever adds floats in another order rounds some activation the
other way, and after fifty layers nearly all of them: two float computations of it agree no better with each other than
with the export. Sums of whole numbers have no order.
"""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kertl.quantization._baked import baked_weights
from kertl.quantization._exact_grid import HIGH, LOW, Grid
from kertl.quantization._exact_pooling import root, squared_differences
from kertl.quantization._grid import PIXELS, PROBABILITIES, ends
from kertl.quantization._network import FakeQuantised
from kertl.quantization._node import Node
from kertl.quantization._run import POOLED, keeps_axes, kernel_axes

if TYPE_CHECKING:
    from kertl.groups import Ref

_SIX = 6.0
_MOST_BIAS = (2**31 - 1) // 2
_SUM_BITS = 20  # of the factors with which XNNPACK adds two tensors


class Exact:
    """The network in whole numbers, on TensorFlow.

    Args:
        network: The rounded network.
    """

    def __init__(self, network: FakeQuantised) -> None:
        self._plan = plan = network.plan
        ranges = keras.ops.convert_to_numpy(network.ranges)
        spans = [plan.span(number, ranges) for number in range(len(ranges))]
        self._observed = [Grid.of(*ends(float(low), float(high))) for low, high in spans]
        self._weights = baked_weights(network)
        self._grids: dict[Ref, Grid] = {plan.input: Grid.of(*PIXELS)}
        for node in plan.nodes:
            self._grids[node.output] = self._grid(node)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Predictions for pictures of 0..255, shape `(n, outputs)`."""
        import tensorflow as tf

        values: dict[Ref, Any] = {self._plan.input: tf.constant(images, tf.float32) + LOW}
        for node in self._plan.nodes:
            values[node.output] = self._result(node, [values[ref] for ref in node.inputs])
        grid = self._grids[self._plan.output]
        return np.asarray((values[self._plan.output] - grid.zero) * grid.scale)

    def _grid(self, node: Node) -> Grid:
        if node.range is not None:
            return self._observed[node.range]
        if node.kind == "entry":
            return Grid.of(*self._plan.entry_range)
        return Grid.of(*PROBABILITIES) if node.kind == "activation" else self._grids[node.inputs[0]]

    def _result(self, node: Node, taken: list[Any]) -> Any:
        """What a node gives, in whole numbers."""
        before, after = [self._grids[ref] for ref in node.inputs], self._grids[node.output]
        if node.kind in ("entry", "norm", "conv", "depthwise", "dense"):
            return self._weighted(node, taken[0], before[0], after)
        if node.kind == "add":
            return _clipped(_sum(taken, before, after) + after.zero, node.activation, after)
        if node.kind == "multiply":
            return _clipped(_product(taken, before, after), node.activation, after)
        if node.kind in POOLED:
            return self._pooled(node, taken, before, after)
        if node.kind == "join":
            return node.layer(taken)
        if node.kind == "same":
            return taken[0] if node.layer is None else _same(node.layer, taken[0], after)
        return self._activation(node, taken[0], before[0], after)

    def _pooled(self, node: Node, taken: list[Any], before: list[Grid], after: Grid) -> Any:
        if node.kind == "squares":
            return squared_differences(taken, before, after)
        if node.kind == "root":
            return root(taken[0], before[0], after)
        values = taken[0]
        if node.kind == "maximum":
            values = keras.ops.max(values, axis=(1, 2), keepdims=True)
        return _mean(node, values, before[0], after)

    def _weighted(self, node: Node, values: Any, before: Grid, after: Grid) -> Any:
        import tensorflow as tf

        kernel, bias = self._kernel(node)
        axes = (0, 1, 2) if node.kind == "entry" else (0, 1) if node.kind == "norm" else kernel_axes(node.kind)
        largest = np.abs(kernel).max(axis=axes, keepdims=True).astype("float64")
        scale = np.where(largest > 0, largest / 127, 1.0)
        if bias is not None:  # a channel that is next to dead gets a coarser grid, on which its bias has room
            least = np.abs(bias.astype("float64")) / (before.double * _MOST_BIAS)
            scale = np.maximum(scale, least.reshape(scale.shape))
        whole = np.rint(kernel / scale)
        scales = scale.reshape(-1)
        centred = values - before.zero
        total = tf.cast(_convolved(node, centred, tf.constant(whole, tf.float32)), tf.float64)
        if bias is not None:
            steps = before.double * scales
            total += np.sign(bias) * np.floor(np.abs(bias.astype("float64")) / steps + 0.5)
        factor = before.scale * scales.astype("float32") / after.scale
        return _clipped(_nearest(tf.cast(total, tf.float32) * factor) + after.zero, node.activation, after)

    def _kernel(self, node: Node) -> tuple[np.ndarray, np.ndarray | None]:
        if node.kind == "entry":
            assert self._plan.kernel is not None
            return self._plan.kernel, self._plan.bias
        kernel, bias = self._weights[node.output]
        assert kernel is not None
        return (kernel.reshape(1, 1, -1, 1) if node.kind == "norm" else kernel), bias

    def _activation(self, node: Node, values: Any, before: Grid, after: Grid) -> Any:
        import tensorflow as tf

        real = (values - before.zero) * before.scale
        if node.activation == "softmax":
            return _on(after, tf.nn.softmax(real))
        if node.activation == "sigmoid":
            return _on(after, tf.sigmoid(real))
        if node.activation == "silu":
            grid = Grid.of(*PROBABILITIES)
            return _clipped(_product([values, _on(grid, tf.sigmoid(real))], [before, grid], after), "linear", after)
        return _clipped(_on(after, real), node.activation, after)


def _convolved(node: Node, values: Any, kernel: Any) -> Any:
    import tensorflow as tf

    if node.kind == "dense":
        return tf.matmul(values, kernel)
    if node.kind == "norm":
        return values * tf.reshape(kernel, (-1,))
    strides = getattr(node.layer, "strides", (1, 1))
    padding = getattr(node.layer, "padding", "valid").upper()
    dilations = getattr(node.layer, "dilation_rate", (1, 1))
    if node.kind == "depthwise":
        return tf.nn.depthwise_conv2d(values, kernel, (1, *strides, 1), padding, dilations=dilations)
    return tf.nn.conv2d(values, kernel, strides, padding, dilations=dilations)


def _sum(taken: list[Any], before: list[Grid], after: Grid) -> Any:
    """Two tensors added with whole factors, divided by a power of two at the end."""
    import tensorflow as tf

    ratios = [grid.scale / after.scale for grid in before]
    shift = _SUM_BITS - int(np.floor(np.log2(max(ratios))))
    factors = [float(np.rint(np.float64(ratio) * 2.0**shift)) for ratio in ratios]
    total = sum(
        tf.cast(one - grid.zero, tf.float64) * factor for one, grid, factor in zip(taken, before, factors, strict=True)
    )
    return tf.cast(tf.floor((total + 2.0 ** (shift - 1)) / 2.0**shift), tf.float32)


def _product(taken: list[Any], before: list[Grid], after: Grid) -> Any:
    factor = before[0].scale * before[1].scale / after.scale
    return _nearest((taken[0] - before[0].zero) * (taken[1] - before[1].zero) * factor) + after.zero


def _mean(node: Node, values: Any, before: Grid, after: Grid) -> Any:
    import tensorflow as tf

    pixels = values.shape[1] * values.shape[2]
    total = tf.reduce_sum(values - before.zero, axis=(1, 2), keepdims=keeps_axes(node))
    factor = before.scale / (np.float32(pixels) * after.scale)
    return tf.clip_by_value(_nearest(total * factor) + after.zero, LOW, HIGH)


def _same(layer: Any, values: Any, grid: Grid) -> Any:
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return layer(values - grid.zero) + grid.zero
    if isinstance(layer, keras.layers.AveragePooling2D):  # not by XNNPACK; halves are rounded away from 0
        means = layer(values)
        return keras.ops.sign(means) * keras.ops.floor(keras.ops.abs(means) + 0.5)
    return layer(values)


def _clipped(values: Any, activation: str, grid: Grid) -> Any:
    """Within 8 bits, and within what a rectifier leaves."""
    import tensorflow as tf

    low, high = LOW, HIGH
    if activation in ("relu", "relu6"):
        low = max(low, float(grid.zero))
    if activation == "relu6":
        high = min(high, float(grid.zero + np.rint(np.float32(_SIX) / grid.scale)))
    return tf.clip_by_value(values, low, high)


def _on(grid: Grid, real: Any) -> Any:
    import tensorflow as tf

    return tf.clip_by_value(_nearest(real / grid.scale) + grid.zero, LOW, HIGH)


def _nearest(values: Any) -> Any:
    """The nearest whole number, of two as near the even one."""
    import tensorflow as tf

    return tf.round(values)
