"""A model as operations that 8 bits know: BatchNorm folded into the layer before it, activations into what they follow.

What comes before the first layer, the preprocessing, is measured: it must multiply and add per pixel, and becomes a 1x1
convolution, whose weights lie on their grid exactly.
"""

import dataclasses
import functools
from collections.abc import Container, Sequence
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.groups import Chain, Ref, Step, activation_of, replay
from kertl.quantization._deviation import added, is_deviation
from kertl.quantization._join import joined
from kertl.quantization._node import Node

WEIGHTED = {keras.layers.Conv2D: "conv", keras.layers.DepthwiseConv2D: "depthwise", keras.layers.Dense: "dense"}
"""The layers whose kernels are rounded."""
_PAIRS = {"Add": "add", "Multiply": "multiply"}
# What leaves each number on the grid that it is on.
_SAME_GRID = (
    keras.layers.ZeroPadding2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.Identity,
)
_RECTIFIED = ("relu", "relu6")
_ACTIVATIONS = ("linear", *_RECTIFIED, "silu", "sigmoid", "softmax")
_BEGINS = (*WEIGHTED, keras.layers.ZeroPadding2D, keras.layers.Flatten)
_ACCEPTED = (
    "Conv2D, DepthwiseConv2D, Dense, BatchNormalization, Add, Multiply, Concatenate, pooling by mean, maximum or "
    "standard deviation, padding, Flatten, Reshape, Dropout, and the activations relu, relu6, silu, sigmoid and softmax"
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The operations, in the order in which they run.

    Attributes:
        nodes: The operations.
        input: The pictures.
        output: The predictions.
        kernel: The kernel of the preprocessing as a 1x1 convolution, shape `(1, 1, channels, channels)`; None for none.
        bias: Its bias.
        floats: What nodes give that compute in float, with kernels that are not rounded.
        open_ends: Those of them that only such nodes take, which are not rounded either.
        together: The numbers of ranges that share one grid, since a concatenation joins them.
    """

    nodes: tuple[Node, ...]
    input: Ref
    output: Ref
    kernel: np.ndarray | None
    bias: np.ndarray | None
    floats: frozenset[Ref] = frozenset()
    open_ends: frozenset[Ref] = frozenset()
    together: tuple[tuple[int, ...], ...] = ()

    def span(self, number: int, ranges: Any) -> tuple[Any, Any]:
        """The ends of the grid of a range: its own, or of all that share it; `ranges` has a low and a high end each."""
        numbers = next((group for group in self.together if number in group), (number,))
        return (
            functools.reduce(keras.ops.minimum, [ranges[one][0] for one in numbers]),
            functools.reduce(keras.ops.maximum, [ranges[one][1] for one in numbers]),
        )

    def with_floats(self, places: Container[int]) -> "Plan":
        """The same with the nodes of some steps of the graph in float."""
        floats = frozenset(node.output for node in self.nodes if node.place in places)
        rounded = {ref for node in self.nodes if node.output not in floats for ref in node.inputs}
        return dataclasses.replace(self, floats=floats, open_ends=floats - rounded - {self.output})

    @property
    def ranges(self) -> int:
        """How many ranges are observed."""
        return sum(node.range is not None for node in self.nodes)

    @property
    def entry_range(self) -> tuple[float, float]:
        """The range of preprocessed pixels, and a hundredth more.

        With their exact range, pixels that become -1 to 1 would lie halfway between two steps, each of them.
        """
        assert self.kernel is not None
        assert self.bias is not None
        ends = np.stack([self.bias, 255 * self.kernel[0, 0].sum(axis=0) + self.bias])
        return 1.01 * float(ends.min()), 1.01 * float(ends.max())

    @property
    def layers(self) -> list[Any]:
        """The layers of the model in it, each once, in the order in which they run."""
        found = [one for node in self.nodes for one in (node.layer, node.norm) if isinstance(one, keras.layers.Layer)]
        return list({id(one): one for one in found}.values())


def plan_of(chain: Chain) -> Plan:
    """The plan of a model.

    Raises:
        ValueError: If it has a layer or operation that 8 bits do not know here, or preprocessing that is not a
            multiplication and addition per pixel.
    """
    graph = chain.graph
    begin = next((at for at, step in enumerate(graph.steps) if isinstance(step.operation, _BEGINS)), 0)
    planner = _Planner(graph.steps, chain.model_name, graph.output)
    kernel = bias = None
    if begin:
        entering = _crossing(graph.steps, begin, chain.model_name)
        channels = graph.shapes[graph.input][-1]
        kernel, bias = _measured(graph.steps[:begin], graph.input, entering, int(channels or 3), chain.model_name)
        planner.add("entry", None, (graph.input,), entering, begin - 1)
    for place in range(begin, len(graph.steps)):
        if place not in planner.folded:
            planner.take(place)
    nodes, together = joined(planner.nodes, chain.model_name)
    return Plan(nodes, graph.input, graph.output, kernel, bias, together=together)


class _Planner:
    """Collects the nodes of a graph."""

    def __init__(self, steps: Sequence[Step], name: str, output: Ref) -> None:
        self.steps, self.name, self.output = steps, name, output
        self.readers: dict[Ref, list[int]] = {}
        for place, step in enumerate(steps):
            for ref in step.inputs:
                self.readers.setdefault(ref, []).append(place)
        self.nodes: list[Node] = []
        self.folded: set[int] = set()
        self._ranges = 0
        self._made = 0

    def take(self, place: int) -> None:
        """Add what a step does."""
        step = self.steps[place]
        operation, end = step.operation, step.outputs[0]
        kind = self._kind(step)
        if kind == "deviation":
            self._deviate(place)
        elif kind in ("mean", "same", "add", "multiply", "join", "norm"):
            norm = operation if kind == "norm" else None
            self._with_activation(kind, operation, norm, step.inputs, end, place, "linear")
        elif kind == "activation":
            self._activate(str(_activation(operation)), step.inputs, end, place)
        else:
            own = str(_activation(operation))
            norm = None
            if own == "linear" and (following := self._only_reader(end)) is not None:
                after = self.steps[following].operation
                if isinstance(after, keras.layers.BatchNormalization):
                    norm, end = after, self.steps[following].outputs[0]
                    self.folded.add(following)
            self._with_activation(kind, operation, norm, step.inputs, end, place, own)

    def _kind(self, step: Step) -> str:
        operation = step.operation
        kind = WEIGHTED.get(type(operation)) or _PAIRS.get(type(operation).__name__)
        if kind in _PAIRS.values() and len(step.inputs) != 2:
            kind = None
        if getattr(operation, "groups", 1) != 1 or (kind in WEIGHTED.values() and _activation(operation) is None):
            kind = None
        elif isinstance(operation, keras.layers.BatchNormalization):
            kind = "norm"
        elif isinstance(operation, keras.layers.GlobalAveragePooling2D):
            kind = "mean"
        elif isinstance(operation, keras.layers.Concatenate) and len(step.inputs) == len(step.args[0]):
            kind = "join"
        elif is_deviation(self._following(step)):
            kind = "deviation"
        elif isinstance(operation, _SAME_GRID):
            kind = "same"
        elif kind is None and _activation(operation) is not None:
            kind = "activation"
        if kind is None:
            told = f"{getattr(operation, 'name', '?')!r} ({type(operation).__name__})"
            raise complain("quantize", f"left out where {self.name!r} has layers other than {_ACCEPTED}", told)
        return kind

    def _following(self, step: Step) -> list[Step]:
        """A step and those after it, as long as each has one reader alone; three at most."""
        found = [step]
        while len(found) < 3 and (place := self._only_reader(found[-1].outputs[0])) is not None:
            found.append(self.steps[place])
        return found

    def _deviate(self, place: int) -> None:
        """Add the nodes of a standard deviation, which is three steps of the graph."""
        var, plus, root = self._following(self.steps[place])
        self.folded |= {number for number, step in enumerate(self.steps) if step is plus or step is root}
        mean, squares, variance = self._new_ref(), self._new_ref(), self._new_ref()
        self.add("centre", None, var.inputs, mean, place)
        self.add("squares", None, (*var.inputs, mean), squares, place)
        self.add("variance", None, (squares,), variance, place)
        self.add("root", added(plus), (variance,), root.outputs[0], place)

    def _only_reader(self, ref: Ref) -> int | None:
        found = self.readers.get(ref, [])
        return found[0] if len(found) == 1 and ref != self.output else None

    def _with_activation(
        self, kind: str, layer: Any, norm: Any, inputs: tuple[Ref, ...], end: Ref, place: int, own: str
    ) -> None:
        """Add a node and the activation that it has or that follows; a rectifier is part of it, others come after."""
        following = self._only_reader(end)
        if own == "linear" and kind not in ("same", "mean", "join") and following is not None:
            after = _activation(self.steps[following].operation)
            if after in _RECTIFIED and not self.steps[following].variables:
                own, end = str(after), self.steps[following].outputs[0]
                self.folded.add(following)
        if own in ("linear", *_RECTIFIED):
            self.add(kind, layer, inputs, end, place, norm=norm, activation=own)
            return
        between = self._new_ref()
        self.add(kind, layer, inputs, between, place, norm=norm)
        self._activate(own, (between,), end, place)

    def _activate(self, name: str, inputs: tuple[Ref, ...], end: Ref, place: int) -> None:
        self.add("same" if name == "linear" else "activation", None, inputs, end, place, activation=name)

    def _new_ref(self) -> Ref:
        self._made += 1
        return Ref(-self._made)

    def add(
        self,
        kind: str,
        layer: Any,
        inputs: tuple[Ref, ...],
        output: Ref,
        place: int,
        *,
        norm: Any = None,
        activation: str = "linear",
    ) -> None:
        """Add a node; its range is observed unless its grid is that of what it takes, or of a probability."""
        given = kind in ("entry", "same") or activation in ("sigmoid", "softmax")
        number = None if given else self._ranges
        self._ranges += not given
        self.nodes.append(Node(kind, layer, norm, activation, inputs, output, place, number))


def _activation(operation: Any) -> str | None:
    """The name of an activation that 8 bits know; None for any other, or for what is none."""
    if isinstance(operation, keras.layers.ReLU):
        plain = not operation.negative_slope and not operation.threshold
        return {None: "relu", 6: "relu6"}.get(operation.max_value) if plain else None
    name = activation_of(operation) or type(operation).__name__.lower()
    name = "silu" if name == "swish" else name
    return name if name in _ACTIVATIONS else None


def _crossing(steps: Sequence[Step], begin: int, name: str) -> Ref:
    """The one tensor that goes from the preprocessing to the first layer."""
    made = {ref for step in steps[:begin] for ref in step.outputs}
    found = {ref for step in steps[begin:] for ref in step.inputs if ref in made}
    if len(found) != 1:
        raise complain(
            "quantize", f"left out where several tensors lead from the preprocessing of {name!r} on", len(found)
        )
    return found.pop()


def _measured(steps: Sequence[Step], entry: Ref, end: Ref, channels: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of the preprocessing as a 1x1 convolution."""

    def preprocessed(pixels: np.ndarray) -> np.ndarray:
        images = keras.ops.convert_to_tensor(np.tile(pixels[:, None, None, :], (1, 4, 4, 1)).astype("float32"))
        return np.asarray(keras.ops.convert_to_numpy(replay(steps, {entry: images}, [end])[0]))

    bias = preprocessed(np.zeros((1, channels)))[0, 0, 0]
    kernel = (preprocessed(255.0 * np.eye(channels))[:, 0, 0] - bias) / 255.0
    pixels = np.random.default_rng(0).integers(0, 256, (16, channels)).astype("float32")
    found = preprocessed(pixels)
    told = (pixels @ kernel + bias)[:, None, None, :]
    alone = ((np.abs(kernel) > 1e-6 * np.abs(kernel).max()).sum(axis=0) <= 1).all()
    if found.shape[1:3] != (4, 4) or np.abs(found - told).max() > 1e-3 * np.abs(told).max() or not alone:
        raise complain(
            "quantize",
            f"left out where the preprocessing of {name!r} does more than multiply and add per pixel and channel",
            "int8",
        )
    kernel[np.abs(kernel) <= 1e-6 * np.abs(kernel).max()] = 0
    return kernel[None, None].astype("float32"), bias.astype("float32")
