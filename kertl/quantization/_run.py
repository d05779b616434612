"""Running a plan, with weights and roundings as a mode gives them: rounded for training, or baked for a converter."""

from typing import TYPE_CHECKING, Any, Protocol

import keras
from keras import ops

from kertl.quantization._grid import PIXELS, PROBABILITIES
from kertl.quantization._node import Node
from kertl.quantization._plan import Plan

if TYPE_CHECKING:
    from kertl.groups import Ref

POOLED = ("mean", "average", "maximum", "centre", "squares", "variance", "root")
"""The kinds that pool maps, or are a step of that."""
_AXES = {"conv": (0, 1, 2), "depthwise": (0, 1), "dense": (0,)}


class Mode(Protocol):
    """Where weights come from, and what becomes of results."""

    def weights(self, node: Node, taken: Any) -> tuple[Any, Any]:
        """Kernel and bias of a weighted node or a norm, given what it takes; the kernel on its grid."""

    def entry(self, plan: Plan) -> tuple[Any, Any]:
        """Kernel and bias of the preprocessing."""

    def observed(self, number: int, values: Any, *, down: bool = False) -> Any:
        """Results on the grid of an observed range, on the nearest step or on the one below."""

    def fixed(self, values: Any, low: float, high: float) -> Any:
        """Results on the grid of a range that is given."""

    def squares(self, values: Any, means: Any) -> Any:
        """Squares of differences."""

    def root(self, variance: Any, added: float) -> Any:
        """The root of a variance, to which a small number may be added, so that it has a slope at 0."""

    def same(self, node: Node, values: Any) -> Any:
        """What a layer that keeps the grid makes of them, before it is rounded again where it must be."""


def run(plan: Plan, images: Any, mode: Mode) -> Any:
    """The predictions for pictures of 0..255, shape `(batch, outputs)`."""
    values: dict[Ref, Any] = {plan.input: mode.fixed(images, *PIXELS)}
    grids: dict[Ref, int | tuple[float, float]] = {plan.input: PIXELS}
    for node in plan.nodes:
        taken = [values[ref] for ref in node.inputs]
        result = _result(plan, node, taken, mode)
        if node.output in plan.open_ends:
            grids[node.output] = PIXELS  # of no use, since no node takes it that rounds
        elif node.range is not None:
            grids[node.output] = node.range
            result = mode.observed(node.range, result, down=node.kind == "root")
        elif node.kind == "entry":
            grids[node.output] = plan.entry_range
            result = mode.fixed(result, *plan.entry_range)
        elif node.kind == "activation":
            grids[node.output] = PROBABILITIES
            result = mode.fixed(result, *PROBABILITIES)
        else:
            grid = grids[node.output] = grids[node.inputs[0]]
            if isinstance(node.layer, keras.layers.AveragePooling2D):
                result = mode.observed(grid, result) if isinstance(grid, int) else mode.fixed(result, *grid)
        values[node.output] = result
    return values[plan.output]


def kernel_axes(kind: str) -> tuple[int, ...]:
    """The axes of the weights that one output channel of a kernel has."""
    return _AXES[kind]


def keeps_axes(node: Node) -> bool:
    """Whether a mean over pixels keeps their axes."""
    return node.kind == "centre" or bool(getattr(node.layer, "keepdims", False))


def applied(node: Node, taken: Any, kernel: Any) -> Any:
    """A weighted node without its bias and activation."""
    layer = node.layer
    if node.kind == "dense":
        return ops.matmul(taken, kernel)
    function = ops.conv if node.kind == "conv" else ops.depthwise_conv
    return function(taken, kernel, strides=layer.strides, padding=layer.padding, dilation_rate=layer.dilation_rate)


def _result(plan: Plan, node: Node, taken: list[Any], mode: Mode) -> Any:
    """What a node gives, its activation applied, before it is rounded."""
    kind = node.kind
    if kind == "entry":
        kernel, bias = mode.entry(plan)
        return ops.conv(taken[0], kernel) + bias
    if kind == "norm":
        return _activated(node.activation, _per_channel(taken[0], *mode.weights(node, taken[0])))
    if kind in _AXES:
        kernel, bias = mode.weights(node, taken[0])
        result = applied(node, taken[0], kernel)
        return _activated(node.activation, result if bias is None else result + bias)
    if kind == "add":
        return _activated(node.activation, taken[0] + taken[1])
    if kind == "multiply":
        return _activated(node.activation, taken[0] * taken[1])
    if kind in POOLED:
        return _pooled(node, taken, mode)
    if kind == "join":
        return node.layer(taken)
    if kind == "same":
        return taken[0] if node.layer is None else mode.same(node, taken[0])
    if node.activation == "silu":  # a sigmoid and a multiplication, each rounded
        gate = ops.sigmoid(taken[0])
        return taken[0] * (gate if node.output in plan.floats else mode.fixed(gate, *PROBABILITIES))
    return _activated(node.activation, taken[0])


def _pooled(node: Node, taken: list[Any], mode: Mode) -> Any:
    """A mean or maximum over pixels, or a step of their standard deviation."""
    if node.kind == "squares":
        return mode.squares(taken[0], taken[1])
    if node.kind == "root":
        return mode.root(taken[0], node.layer)
    values = taken[0]
    if node.kind == "maximum":  # the mean of one pixel, since a converter has no maximum on another grid than its map's
        values = ops.max(values, axis=(1, 2), keepdims=True)
    # In another order the axes keep a converter from taking two means of one map for one, which has one grid.
    axes = (2, 1) if node.kind == "average" else (1, 2)
    return ops.mean(values, axis=axes, keepdims=keeps_axes(node))


def _per_channel(values: Any, factor: Any, bias: Any) -> Any:
    """A multiplication and addition per channel, as the depthwise convolution that 8 bits have."""
    rank = len(values.shape)
    maps = values if rank == 4 else ops.reshape(values, (-1, 1, 1, values.shape[-1]))
    result = ops.depthwise_conv(maps, ops.reshape(factor, (1, 1, -1, 1))) + bias
    return result if rank == 4 else ops.reshape(result, (-1, values.shape[-1]))


def _activated(name: str, values: Any) -> Any:
    if name == "linear":
        return values
    if name == "softmax":
        return ops.softmax(values)
    return getattr(ops, name)(values)
