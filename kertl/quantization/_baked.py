"""The network for LiteRT's converter: weights are constants on their grid, activations pass fixed ranges.

A fake-quantisation node on the weights would be in the way: the converter takes neither computed ranges nor those per
channel of a depthwise kernel. Of constants it finds the grid by itself, since each channel's largest is at its end.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kertl.groups import Ref
from kertl.quantization._grid import ends
from kertl.quantization._network import FakeQuantised, _Rounding
from kertl.quantization._node import Node
from kertl.quantization._plan import Plan
from kertl.quantization._run import run


def baked(network: FakeQuantised) -> Callable[[Any], Any]:
    """A function of TensorFlow from pictures, float32 of 0..255, to predictions, for `tf.function`."""
    mode = _Baking(network)
    return lambda images: run(network.plan, images, mode)


def baked_weights(network: FakeQuantised) -> dict[Ref, tuple[np.ndarray | None, np.ndarray | None]]:
    """Kernel, on its grid, and bias of each node with weights, by what it gives."""
    rounding = _Rounding(network)
    nodes = [node for node in network.plan.nodes if node.norm is not None or hasattr(node.layer, "kernel")]
    found = {}
    for node in nodes:
        kernel, bias = rounding.weights(node, None)
        found[node.output] = _constant(kernel), _constant(bias)
    return found


class _Baking:
    def __init__(self, network: FakeQuantised) -> None:
        ranges = keras.ops.convert_to_numpy(network.ranges)
        self.ranges = [ends(*map(float, network.plan.span(number, ranges))) for number in range(len(ranges))]
        self.found = baked_weights(network)

    def weights(self, node: Node, taken: Any) -> tuple[Any, Any]:
        return self.found[node.output]

    def entry(self, plan: Plan) -> tuple[Any, Any]:
        return plan.kernel, plan.bias

    def observed(self, number: int, values: Any, *, down: bool = False) -> Any:
        return self.fixed(values, *self.ranges[number])

    def squares(self, values: Any, means: Any) -> Any:
        import tensorflow as tf

        return tf.math.squared_difference(values, means)  # one operation, for which 8 bits have a kernel

    def root(self, variance: Any, added: float) -> Any:
        return keras.ops.sqrt(variance)

    def fixed(self, values: Any, low: float, high: float) -> Any:
        import tensorflow as tf

        return tf.quantization.fake_quant_with_min_max_args(values, low, high)

    def same(self, node: Node, values: Any) -> Any:
        return node.layer(values)


def _constant(values: Any) -> np.ndarray | None:
    return None if values is None else np.asarray(keras.ops.convert_to_numpy(values))
