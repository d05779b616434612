"""A backbone as a chain of layer groups, and the models on either side of a boundary.

Every variable of the model belongs to exactly one group, and the suffix after a boundary, given what the prefix
before it makes, gives what the whole model gives.
"""

import itertools
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import keras

from kertl._checks import complain, nearest
from kertl.errors import ArgumentError
from kertl.groups._classifier import POOLING_LAYERS, features_end, find_classifier, head_start
from kertl.groups._cuts import Cut, block_name, blocks, cuts
from kertl.groups._graph import Graph, Ref, Step, flatten, replay
from kertl.groups._taps import Tapped, separated

# Sides of the square at which a model without a fixed input size is measured.
_NOMINAL_SIZE = 224


@dataclass(frozen=True)
class LayerGroup:
    """A run of layers that is frozen or trained together; its end is a boundary.

    Attributes:
        name: What `at=` calls the group; the last group of a classifier is "head".
        layers: The layers and operations, in the order in which they run.
        output_shape: Shape of what crosses the boundary after the group, without the batch dimension; where several
            tensors cross, all their shapes.
        stride: Input pixels per pixel of the group's last feature map along one side, as a power of two (borders
            that a convolution cuts off do not count); 0 where the group makes tokens, or vectors only.
        parameters: Number of weights, statistics of normalisation among them.
        boundary: "main" at the end with the fewest values between two halvings of resolution, and at the end of the
            features; "block" at the end of every other block.
    """

    name: str
    layers: tuple[Any, ...]
    output_shape: tuple[Any, ...]
    stride: int
    parameters: int
    boundary: str

    @property
    def variables(self) -> list[Any]:
        """All variables of the group's layers, each once."""
        return _variables(self.layers)


@dataclass(frozen=True)
class Chain:
    """The groups of a model, in the flat graph they were found in."""

    model_name: str
    graph: Graph
    ends: tuple[Cut, ...]
    groups: tuple[LayerGroup, ...]
    has_head: bool

    @property
    def backbone_groups(self) -> tuple[LayerGroup, ...]:
        """The groups without the head."""
        return self.groups[:-1] if self.has_head else self.groups

    @property
    def sees_depths(self) -> bool:
        """Whether vectors of earlier depths pass later boundaries, for a head that sees several depths."""
        ranks = ({len(self.graph.shapes[ref]) for ref in end.crossing} for end in self.ends[:-1])
        return any(1 in found and len(found) > 1 for found in ranks)

    def first_trained(self, at: str | int) -> int:
        """The number of the first group that trains when the boundary is `at`; the number of groups if none does.

        Raises:
            ValueError: If there is no such boundary.
        """
        count, names = len(self.groups), [group.name for group in self.groups]
        practices = {"deep": len(self.backbone_groups), "mid": self._last_halving(), "full": 0}
        if isinstance(at, str) and at in practices:
            return practices[at]
        if isinstance(at, str) and at in names:
            return names.index(at)
        fewest = 1 if self.has_head else 0
        if isinstance(at, int) and not isinstance(at, bool) and fewest <= at <= count:
            return count - at
        hint = nearest(at, names) if isinstance(at, str) else ""
        raise complain(
            "at",
            f"the name of a layer group of {self.model_name!r}, 'deep', 'mid' or 'full', "
            f"or a number of groups from {fewest} to {count}",
            at,
            f"{hint} The groups are {', '.join(map(repr, names))}.".strip(),
            code="boundary",
        )

    def steps(self, first: int, stop: int) -> Sequence[Step]:
        """The steps of the groups `first` to `stop`, `stop` excluded."""
        return self.graph.steps[self._place(first) : self._place(stop)]

    def crossing(self, group: int) -> tuple[Ref, ...]:
        """The tensors that cross the boundary before a group."""
        return self.ends[group - 1].crossing if group else (self.graph.input,)

    def layers(self, first: int, stop: int) -> list[Any]:
        """The layers (not the bare operations) of the groups `first` to `stop`, each once."""
        found = (layer for group in self.groups[first:stop] for layer in group.layers)
        return [layer for layer in found if isinstance(layer, keras.layers.Layer)]

    def piece(self, first: int, stop: int, name: str) -> keras.Model:
        """A functional model of the groups `first` to `stop`, sharing their layers."""
        entering, leaving = self.crossing(first), self.crossing(stop)
        dtype = self.graph.input_dtype if first == 0 else None
        inputs = [keras.Input(self.graph.shapes[ref], dtype=dtype) for ref in entering]
        values = dict(zip(entering, inputs, strict=True))
        outputs = replay(self.steps(first, stop), values, leaving)
        if first == stop:
            outputs = [keras.layers.Identity(name="identity")(tensor) for tensor in outputs]
        return keras.Model(_alone(inputs), _alone(outputs), name=name)

    def at_shape(self, shape: tuple[int | None, ...], name: str) -> keras.Model:
        """A functional model of all groups for pictures of another shape, sharing their layers."""
        inputs = keras.Input(shape, dtype=self.graph.input_dtype)
        outputs = replay(self.graph.steps, {self.graph.input: inputs}, [self.graph.output])
        return keras.Model(inputs, outputs[0], name=name)

    def _place(self, group: int) -> int:
        return self.ends[group - 1].end if group else 0

    def _last_halving(self) -> int:
        """The first group after the last halving of resolution; the middle one where nothing is halved."""
        strides = [group.stride for group in self.backbone_groups]
        last = max(strides, default=0)
        first = strides.index(last) if last else 0
        return first or len(strides) // 2


def find_chain(model: keras.Model) -> Chain:
    """The chain of a functional or sequential model, looking into nested ones."""
    graph = flatten(model)
    measured = _measured(graph)
    if None not in graph.shapes[graph.input]:
        graph = measured
    sizes = {ref: tuple(side or 1 for side in shape) for ref, shape in measured.shapes.items()}
    tapped = separated(graph)
    for width in (1, 2):
        found, has_head = _block_ends(tapped.main, cuts(tapped.main, width))
        strides = _strides(tapped.main, found, sizes)
        features = strides[:-1] if has_head else strides
        if all(after <= 4 * before for before, after in itertools.pairwise(features)):
            break
    values = [sum(math.prod(sizes[ref]) for ref in end.crossing) for end in found]
    main = _main_boundaries(features, values[: len(features)])
    names = _names(tapped, found, has_head)
    ends = tuple(map(tapped.placed, found))
    return Chain(model.name, tapped.graph, ends, _groups(tapped.graph, ends, names, strides, main), has_head)


def features_of(model: keras.Model, input_shape: tuple[int | None, ...] | None = None) -> keras.Model:
    """`model` without its classifier: what comes before the pooling, dropout and dense layers at its end.

    Of a classifier that is a convolution, with the pooling after it, what that convolution takes. The layers are
    shared, not copied; nested models are opened, but for those of classes that are not Keras' own. `input_shape`,
    without the batch dimension, asks for another size of the pictures.

    Raises:
        ValueError: If no layer with weights comes before the classifier, or no single tensor leads to it.
    """
    graph = flatten(model, keep_whole=True)
    if find_classifier(graph) is not None:  # of a classifier that joins several depths, the last map
        graph = separated(graph).main
    place = features_end(graph, cuts(graph, width=1))
    if place is None:
        _check_ends_in_features(graph, model.name)
        place = Cut(len(graph.steps), (graph.output,))
    if not any(step.variables for step in graph.steps[: place.end]):
        raise ArgumentError(
            f"{model.name!r} must have layers with weights before its classifier, which are what is reused. Received: "
            f"a model whose first layer with weights comes after {graph.steps[place.end - 1].operation.name!r}.",
            code="classifier",
        )
    inputs = keras.Input(input_shape or graph.shapes[graph.input], dtype=graph.input_dtype)
    (features,) = replay(graph.steps[: place.end], {graph.input: inputs}, place.crossing)
    return keras.Model(inputs, features, name=model.name)


def _check_ends_in_features(graph: Graph, name: str) -> None:
    """Raise where a model without a place to cut it has a classifier."""
    classifier = find_classifier(graph)
    if classifier is not None:
        raise ArgumentError(
            f"The classifier of {name!r} cannot be cut off: it ends in {graph.steps[classifier].operation.name!r}, "
            "and at no place before that does a single tensor lead to it. Pass "
            "`keras.Model(model.input, model.get_layer(...).output)` with the layer that gives the features.",
            code="classifier",
        )


def _block_ends(graph: Graph, places: Sequence[Cut]) -> tuple[list[Cut], bool]:
    """The ends of the groups, and whether the last of them is a head."""
    whole = Cut(len(graph.steps), (graph.output,))
    head = head_start(graph, places)
    ends = blocks(graph, places, head.end if head else whole.end)
    return ([*ends, whole] if head or not ends else ends), head is not None


def _measured(graph: Graph) -> Graph:
    """The graph with its shapes as they are at its own input size, or at a nominal one where that is open."""
    if all(None not in shape for shape in graph.shapes.values()):
        return graph
    refs = list(graph.shapes)
    entry = (side or _NOMINAL_SIZE for side in graph.shapes[graph.input])
    nominal = keras.KerasTensor((1, *entry), graph.input_dtype)
    tensors = replay(graph.steps, {graph.input: nominal}, refs)
    return replace(graph, shapes={ref: tuple(tensor.shape[1:]) for ref, tensor in zip(refs, tensors, strict=True)})


def _strides(graph: Graph, ends: Sequence[Cut], sizes: Mapping[Ref, tuple[int, ...]]) -> list[int]:
    """Input pixels per pixel of the last map that each group makes, as a power of two; 0 where it ends without one."""
    side = sizes[graph.input][0]
    strides, start = [], 0
    for end in ends:
        maps = [
            sizes[step.outputs[0]]
            for step in graph.steps[start : end.end]
            if len(sizes[step.outputs[0]]) == 3 and not isinstance(step.operation, POOLING_LAYERS)
        ]
        tokens = any(len(sizes[ref]) == 2 for ref in end.crossing)
        strides.append(2 ** round(math.log2(side / maps[-1][0])) if maps and not tokens else 0)
        start = end.end
    return strides


def _names(tapped: Tapped, ends: Sequence[Cut], has_head: bool) -> list[str]:
    """The names of the groups, each another one; heads that see several depths do not change them."""
    names: list[str] = []
    start = 0
    for number, end in enumerate(ends):
        steps = [tapped.main.steps[place] for place in range(start, end.end) if place not in tapped.pooling]
        name = "head" if has_head and number == len(ends) - 1 else block_name(steps)
        names.append(f"{name}_{number}" if name in names else name)
        start = end.end
    return names


def _groups(
    graph: Graph, ends: Sequence[Cut], names: Sequence[str], strides: Sequence[int], main: Set[int]
) -> tuple[LayerGroup, ...]:
    groups: list[LayerGroup] = []
    start = 0
    for number, (name, end) in enumerate(zip(names, ends, strict=True)):
        steps = graph.steps[start : end.end]
        shapes = [graph.shapes[ref] for ref in end.crossing]
        layers = tuple({id(step.operation): step.operation for step in steps}.values())
        parameters = sum(math.prod(v.shape) for v in _variables(layers) if "float" in str(v.dtype))
        boundary = "main" if number in main or number >= len(ends) - 1 else "block"
        groups.append(LayerGroup(name, layers, _alone(shapes), strides[number], parameters, boundary))
        start = end.end
    return tuple(groups)


def _main_boundaries(strides: Sequence[int], values: Sequence[int]) -> set[int]:
    """Of each run of groups with one stride the one that ends with the fewest values, the deepest of equals."""
    main = {len(strides) - 1}
    for _, run in itertools.groupby(range(len(strides)), key=lambda number: strides[number]):
        main.add(min(reversed(list(run)), key=lambda number: values[number]))
    return main


def _variables(layers: Sequence[Any]) -> list[Any]:
    """The variables of those of the operations that are layers, each once."""
    found = (variable for layer in layers if isinstance(layer, keras.layers.Layer) for variable in layer.variables)
    return list({id(variable): variable for variable in found}.values())


def _alone(items: Sequence[Any]) -> Any:
    """A lone item as it is, several as a tuple or list."""
    return items[0] if len(items) == 1 else items
