"""The rounded network, as a layer that trains the layers of a plain model."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kertl.quantization._grid import rounded, rounded_kernel
from kertl.quantization._node import Node
from kertl.quantization._plan import Plan
from kertl.quantization._run import applied, kernel_axes, run

_KEPT = 0.99  # of a range, at each step that observes


class FakeQuantised(keras.layers.Layer):
    """Computes in float what the model will compute in 8 bits: kernels and activations are rounded to their grids.

    It shares the layers of the model; those that are trainable train through the rounding. In training, the ranges of
    activations are moving averages of what is observed, and BatchNorm that trains is folded in with the statistics of
    the batch, until `observing` is 0; then both stay.

    Args:
        plan: The operations.
        first: The step of the graph from which on dropout and BatchNorm may be in training mode.

    Attributes:
        ranges: The low and the high end of each range, shape `(ranges, 2)`.
        observing: 1 while ranges are observed, else 0.
    """

    def __init__(self, plan: Plan, first: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan, self.first = plan, first
        self.parts = plan.layers
        self.ranges = self.add_weight(shape=(plan.ranges, 2), initializer="zeros", trainable=False, name="ranges")
        self.observing = self.add_weight(shape=(), initializer="ones", trainable=False, name="observing")

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, images: Any, training: bool = False) -> Any:
        mode = _Rounding(self, training)
        result = run(self.plan, ops.cast(images, "float32"), mode)
        if training:
            self.ranges.assign(ops.stack(mode.found))
        return result

    def calibrate(self, batches: Iterable[np.ndarray]) -> None:
        """Set the ranges to what activations span on some pictures, on average over batches.

        Args:
            batches: Pictures of 0..255, shape `(n, height, width, channels)`; at least one batch.
        """
        spans: list[np.ndarray] = []
        for images in batches:
            mode = _Measuring(self)
            run(self.plan, ops.convert_to_tensor(np.asarray(images, "float32")), mode)
            spans.append(np.array(mode.found))
        self.ranges.assign(np.mean(spans, axis=0).astype("float32"))

    def give_ranges(self, ranges: Sequence[tuple[float, float]]) -> None:
        """Set the ranges."""
        self.ranges.assign(np.array(ranges, "float32"))


class _Rounding:
    """The mode that trains and predicts."""

    def __init__(self, network: FakeQuantised, training: bool = False) -> None:
        self.network, self.training = network, training
        self.found: list[Any] = [network.ranges[number] for number in range(network.plan.ranges)]

    def weights(self, node: Node, taken: Any) -> tuple[Any, Any]:
        factor, shift = self._folded(node, taken)
        if node.kind == "norm":
            return factor, shift
        kernel, bias = node.layer.kernel, node.layer.bias
        if factor is not None:
            kernel = kernel * (ops.reshape(factor, kernel.shape[-2:]) if node.kind == "depthwise" else factor)
            bias = shift if bias is None else bias * factor + shift
        if node.output in self.network.plan.floats:
            return kernel, bias
        return rounded_kernel(kernel, kernel_axes(node.kind)), bias

    def entry(self, plan: Plan) -> tuple[Any, Any]:
        return plan.kernel, plan.bias

    def observed(self, number: int, values: Any, *, down: bool = False) -> Any:
        if self.training and number < len(self.found):
            seen = ops.stop_gradient(ops.stack([ops.min(values), ops.max(values)]))
            kept = 1 - (1 - _KEPT) * self.network.observing
            self.found[number] = kept * self.found[number] + (1 - kept) * seen
        return rounded(values, *self.network.plan.span(number, self.found), down=down)

    def squares(self, values: Any, means: Any) -> Any:
        return ops.square(values - means)

    def root(self, variance: Any, added: float) -> Any:
        return ops.sqrt(variance + added)

    def fixed(self, values: Any, low: float, high: float) -> Any:
        return rounded(values, low, high)

    def same(self, node: Node, values: Any) -> Any:
        return node.layer(values, training=self._in_training(node)) if _draws(node.layer) else node.layer(values)

    def _in_training(self, node: Node) -> bool:
        return bool(self.training) and node.place >= self.network.first

    def _folded(self, node: Node, taken: Any) -> tuple[Any, Any]:
        """What a BatchNorm multiplies each channel by, and adds."""
        norm = node.norm
        if norm is None:
            return None, None
        mean, variance = norm.moving_mean, norm.moving_variance
        if norm.trainable and self._in_training(node):
            mean, variance = self._of_batch(node, taken)
        factor = ops.rsqrt(variance + norm.epsilon)
        if norm.scale:
            factor = factor * norm.gamma
        shift = -mean * factor
        return factor, shift + norm.beta if norm.center else shift

    def _of_batch(self, node: Node, taken: Any) -> tuple[Any, Any]:
        """Mean and variance of a batch while ranges are observed, and moving ones from then on."""
        norm, values = node.norm, taken
        if node.kind != "norm":
            values = applied(node, taken, node.layer.kernel)
            values = values if node.layer.bias is None else values + node.layer.bias
        mean, variance = ops.moments(values, axes=tuple(range(len(values.shape) - 1)))
        now = self.network.observing
        kept = 1 - (1 - norm.momentum) * now
        moving = []
        for variable, seen in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
            variable.assign(kept * variable + (1 - kept) * ops.stop_gradient(seen))
            moving.append(now * seen + (1 - now) * variable)
        return moving[0], moving[1]


class _Measuring(_Rounding):
    """Rounds weights alone, and collects what activations span."""

    def observed(self, number: int, values: Any, *, down: bool = False) -> Any:
        low, high = float(ops.min(values)), float(ops.max(values))
        self.found[number] = (low, high)
        return values

    def fixed(self, values: Any, low: float, high: float) -> Any:
        return values


def _draws(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Dropout | keras.layers.SpatialDropout2D)
