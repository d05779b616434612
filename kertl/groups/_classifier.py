"""Where the features of a trained model end and its classifier begins.

The classifier is what turns features into predictions: a Dense layer after a pooling, or a convolution whose channels
are the classes, with the pooling after it. A model that ends in features has none.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras

from kertl.groups._cuts import Cut, has_kernel
from kertl.groups._graph import Graph, Ref, Step, flatten

POOLING_LAYERS = (
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.Flatten,
)
_DROPOUT = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
)
_ENLARGES = (keras.layers.UpSampling2D, keras.layers.Resizing)
# What may come after the scores of a classifier that gives no probabilities: layers, and names of operations.
_KEEPS_SCORES = (
    *POOLING_LAYERS,
    *_DROPOUT,
    keras.layers.AveragePooling2D,
    *_ENLARGES,
    keras.layers.Cropping2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Reshape,
    keras.layers.Rescaling,
    keras.layers.Activation,
    keras.layers.Average,
    keras.layers.Concatenate,
)
_OPERATIONS = ("Mean", "Squeeze", "Reshape", "Cast")
_LINEAR = (None, "linear")
_RECTIFIED = ("relu", "softplus")  # what a map of depths may end in


def features_end(graph: Graph, places: Sequence[Cut]) -> Cut | None:
    """The cut where the features end; None where the model ends in features, or where there is no such cut.

    The tensor of that cut is only pooled or flattened from there on. Where no map is pooled, features end where the
    vectors begin, or, if the classifier is a convolution, with what that takes.
    """
    classifier = find_classifier(graph)
    if classifier is not None:
        places = [place for place in places if place.end <= classifier]
    readers = _readers(graph)
    for place in places:
        consumers = [step for ref in place.crossing for step in readers.get(ref, [])]
        if consumers and all(is_pooling(graph, step) for step in consumers):
            return place
    vectors = [place for place in places if all(len(graph.shapes[ref]) == 1 for ref in place.crossing)]
    maps_end = max((place.end for place in places if place not in vectors), default=0)
    if maps_end or classifier is not None:
        first = next((place for place in vectors if place.end > maps_end), None)
        if first is not None:
            return first
    return _without_dropout(graph, places) if classifier is not None else None


def head_start(graph: Graph, places: Sequence[Cut]) -> Cut | None:
    """The cut after the pooling: what follows is the head. None where nothing with weights follows."""
    features = features_end(graph, places)
    if features is None:
        return None
    start = features
    for place in places:
        between = graph.steps[features.end : place.end]
        if between and not all(is_pooling(graph, step) or _joins(step) for step in between):
            break
        if between and all(len(graph.shapes[ref]) == 1 for ref in place.crossing):
            start = place
    return start if any(step.variables for step in graph.steps[start.end :]) else None


def find_classifier(graph: Graph) -> int | None:
    """The number of the first step whose units are the model's outputs; None where the model ends in features.

    Such steps are the last with a kernel. Either the outputs are probabilities, or they are the steps' own scores:
    nothing but pooling and reshaping comes after them, and the outputs are a vector, a map of one channel, or one that
    is enlarged in the end, as in a segmentation. Another map of several scores cannot be told from features.
    """
    outputs, ends = graph.shapes[graph.output], _Ends(graph)
    found = ends.found()
    if not found:
        return None
    is_score = len(outputs) == 1 or outputs[-1] == 1 or ends.enlarged
    if not is_score and not all(probabilities for _, probabilities in found):
        return None
    units = [graph.shapes[graph.steps[number].outputs[0]][-1] or 0 for number, _ in found]
    accepted = {outputs[-1], None if None in outputs else math.prod(side or 1 for side in outputs)}
    if set(units) <= accepted or sum(units) in accepted:
        return min(number for number, _ in found)
    return None


def ends_in(model: keras.Model) -> str | None:
    """What a model's outputs are: "probabilities", "scores" of its last layer, or None for something else."""
    kinds = {probabilities for _, probabilities in _Ends(flatten(model)).found()}
    if len(kinds) != 1:
        return None
    return "probabilities" if kinds == {True} else "scores"


def activation_of(operation: Any) -> str | None:
    """Keras' name of the activation of a layer or operation; None if it has none."""
    if type(operation).__name__ in ("Softmax", "Sigmoid"):  # layers, and operations of `keras.ops`
        return type(operation).__name__.lower()
    function = getattr(operation, "activation", None)
    return None if function is None else str(getattr(function, "__name__", type(function).__name__))


def is_pooling(graph: Graph, step: Step) -> bool:
    """Whether a step makes a vector of a map or of tokens, without weights: pooling, flattening, the class token."""
    if isinstance(step.operation, POOLING_LAYERS):
        return True
    ranks = [len(graph.shapes[ref]) for ref in (*step.inputs, *step.outputs)]
    return not step.variables and len(ranks) == 2 and ranks[0] > 1 == ranks[1]


def _joins(step: Step) -> bool:
    """Whether a step joins pooled vectors, or is arithmetic that makes them, such as of a standard deviation."""
    merges = len(step.inputs) > 1 or isinstance(step.operation, keras.layers.Concatenate)
    return merges or not isinstance(step.operation, keras.layers.Layer)


def _readers(graph: Graph) -> dict[Ref, list[Step]]:
    readers: dict[Ref, list[Step]] = {}
    for step in graph.steps:
        for ref in step.inputs:
            readers.setdefault(ref, []).append(step)
    return readers


class _Ends:
    """The last steps with a kernel on the ways to the output, and whether each gives probabilities."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = {ref: at for at, step in enumerate(graph.steps) for ref in step.outputs}
        self.enlarged = False
        self._depth = graph.shapes[graph.output][1:] and graph.shapes[graph.output][-1] == 1

    def found(self) -> set[tuple[int, bool]]:
        """Number of each such step; nothing where something other than their scores or probabilities comes out."""
        ends: set[tuple[int, bool]] = set()
        stack, seen = [(self.graph.output, False)], set[tuple[Ref, bool]]()
        while stack:
            ref, probabilities = stack.pop()
            if (ref, probabilities) in seen or ref not in self.producers:
                continue
            seen.add((ref, probabilities))
            number = self.producers[ref]
            step = self.graph.steps[number]
            activation = activation_of(step.operation)
            probabilities = probabilities or activation in ("softmax", "sigmoid")
            self.enlarged = self.enlarged or isinstance(step.operation, _ENLARGES)
            rectified = self._depth and (isinstance(step.operation, keras.layers.ReLU) or activation in _RECTIFIED)
            if not probabilities and not rectified and (activation not in _LINEAR or not _keeps_scores(step)):
                return set()
            if has_kernel([step]):
                ends.add((number, probabilities))
            else:
                stack.extend((given, probabilities) for given in step.inputs)
        return ends


def _keeps_scores(step: Step) -> bool:
    operation = step.operation
    return has_kernel([step]) or isinstance(operation, _KEEPS_SCORES) or type(operation).__name__ in _OPERATIONS


def _without_dropout(graph: Graph, places: Sequence[Cut]) -> Cut | None:
    """The last of the places, before the dropout that ends there."""
    starts = [0, *(place.end for place in places)]
    for place, start in reversed(list(zip(places, starts, strict=False))):
        if not all(isinstance(step.operation, _DROPOUT) for step in graph.steps[start : place.end]):
            return place
    return None
