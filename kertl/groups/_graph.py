"""The graph of a functional Keras model as one flat list of steps.

Nested functional and sequential models are opened, and known transformer encoders unrolled, so that a step is always
a single layer or operation. Replaying steps calls the very same layers again: nothing is copied, all weights are
shared.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kertl._checks import named
from kertl._keras import call_of, functional_inside, layers_inside
from kertl.errors import ArgumentError, KindError
from kertl.groups._unroll import BlockCall, block_calls

_LEAST_SIDE = 16  # of a picture; fewer numbers at the end of a shape may be channels
_LONGEST = 8  # times as long as tall, or the other way round
_REBUILT = (
    "To train or cut it, build its architecture with data_format='channels_last' (and axis=-1 in BatchNormalization), "
    "and give that `model.get_weights()`: kernels have the same shape in both."
)


@dataclass(frozen=True)
class Ref:
    """Stands for a tensor of the flat graph."""

    number: int


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation: its inputs and its outputs."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Ref, ...]

    @property
    def inputs(self) -> tuple[Ref, ...]:
        """The tensors that this step reads."""
        leaves = keras.tree.flatten((self.args, self.kwargs))
        return tuple(dict.fromkeys(leaf for leaf in leaves if isinstance(leaf, Ref)))

    @property
    def variables(self) -> list[Any]:
        """The variables of the layer; an operation has none."""
        return list(self.operation.variables) if isinstance(self.operation, keras.layers.Layer) else []


@dataclass(frozen=True)
class Graph:
    """A flat graph with one input and one output; `shapes` are without the batch dimension."""

    steps: tuple[Step, ...]
    input: Ref
    output: Ref
    input_dtype: str
    shapes: Mapping[Ref, tuple[int | None, ...]]


def flatten(model: keras.Model, *, keep_whole: bool = False) -> Graph:
    """The flat graph of `model`.

    Args:
        model: A functional or sequential model.
        keep_whole: Whether nested models of classes that are not Keras' own stay single steps, as needed in a file that
            is loaded through their class.

    Raises:
        TypeError: If `model` is not a functional or sequential model.
        ValueError: If it has more than one input or output, or computes with channels first.
    """
    functional = functional_of(model)
    first = next((layer for layer in layers_inside(model) if _takes_channels_first(layer)), None)
    if first is not None:
        raise ArgumentError(
            f"`model` must have layers that take (height, width, channels). Received: model={named(model)}, whose "
            f"layer {first.name!r} has data_format='channels_first'. {_REBUILT}",
            code="not-functional",
        )
    flattener = _Flattener(keep_whole)
    entry = functional.inputs[0]
    start = flattener.new_ref(entry)
    (end,) = flattener.open(functional, [start])
    return Graph(tuple(flattener.steps), start, end, entry.dtype, real_shapes(flattener.steps, flattener.shapes))


def functional_of(model: Any, argument: str = "model", *, single: bool = True, pictures: bool = False) -> Any:
    """The functional model that a model is, if kertl can work with it: the check at every public door.

    Args:
        model: What was given.
        argument: What the caller calls it.
        single: Whether it must have one input and one output.
        pictures: Whether it must take pictures, and not vectors, say.

    Raises:
        TypeError: If it is not a functional or sequential model that has been built.
        ValueError: If it has more than one input or output, takes pictures with channels first, or takes no pictures.
    """
    functional = functional_inside(model)
    if functional is None:
        advice = "A subclassed model has no graph to look into: rebuild it with `keras.Model(inputs, outputs)`."
        if isinstance(model, keras.Sequential):
            advice = "Begin it with `keras.Input((height, width, channels))`, or call it on pictures once."
        raise KindError(
            f"`{argument}` must be a functional or sequential Keras model that has been built. "
            f"Received: {argument}={model!r}. {advice}",
            code="not-functional",
        )
    if single and (len(functional.inputs) != 1 or len(functional.outputs) != 1):
        raise ArgumentError(
            f"`{argument}` must have one input and one output. Received: {argument}={named(model)} with "
            f"{len(functional.inputs)} inputs and {len(functional.outputs)} outputs. "
            "Pass the part that leads from one to the other: `keras.Model(model.inputs[0], model.outputs[0])`.",
            code="not-functional",
        )
    shape = tuple(functional.inputs[0].shape[1:])
    if _has_channels_first(shape):
        taken = ", ".join(map(str, (*shape[1:], shape[0])))
        raise ArgumentError(
            f"`{argument}` must take pictures of shape (height, width, channels). Received: {argument}={named(model)}, "
            f"which takes {shape}, with channels first. To predict with it, put a layer in front: `inputs = "
            f"keras.Input(({taken})); keras.Model(inputs, model(keras.layers.Permute((3, 1, 2))(inputs)))`. "
            f"{_REBUILT}",
            code="not-functional",
        )
    if pictures and len(shape) != 3:
        raise ArgumentError(
            f"`{argument}` must take pictures of shape (height, width, channels). Received: {argument}={named(model)}, "
            f"which takes {shape}.",
            code="not-functional",
        )
    return functional


def _has_channels_first(shape: tuple[int | None, ...]) -> bool:
    """Whether the shape of an input is that of pictures with channels first: 1, 3 or 4 before two sides."""
    if len(shape) != 3 or shape[0] not in (1, 3, 4):
        return False
    sides = [side or _LEAST_SIDE for side in shape[1:]]
    return min(sides) >= _LEAST_SIDE and max(sides) <= _LONGEST * min(sides)  # feature maps have far more channels


def _takes_channels_first(layer: Any) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


def replay(
    steps: Sequence[Step],
    values: Mapping[Ref, Any],
    wanted: Sequence[Ref],
    call: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any] = lambda operation, args, kwargs: operation(
        *args, **kwargs
    ),
) -> list[Any]:
    """The `wanted` tensors, from the given `values`, symbolic or real, through the same layers.

    Args:
        steps: The steps, in an order in which they can run.
        values: What they begin with.
        wanted: What to give.
        call: How a layer or operation is called.
    """
    known = dict(values)
    for step in steps:
        args, kwargs = keras.tree.map_structure(
            lambda leaf: known[leaf] if isinstance(leaf, Ref) else leaf, (step.args, step.kwargs)
        )
        results = keras.tree.flatten(call(step.operation, args, kwargs))
        known.update(zip(step.outputs, results, strict=True))
    return [known[ref] for ref in wanted]


def real_shapes(
    steps: Sequence[Step], told: Mapping[Ref, tuple[int | None, ...]]
) -> Mapping[Ref, tuple[int | None, ...]]:
    """The shapes that tensors have, where a layer tells others: SigLIP's embedding counts a class token it lacks."""
    for step in steps:
        if type(step.operation).__name__ == "SigLIPVisionEmbedding":
            tokens = told[step.outputs[0]][0] or 0
            return {ref: (tokens - 1, *shape[1:]) if shape[:-1] == (tokens,) else shape for ref, shape in told.items()}
    return told


class _Flattener:
    """Collects the steps of a model and of the models nested in it, in an order in which they can run."""

    def __init__(self, keep_whole: bool) -> None:
        self.keep_whole = keep_whole
        self.steps: list[Step] = []
        self.shapes: dict[Ref, tuple[int | None, ...]] = {}

    def new_ref(self, tensor: Any) -> Ref:
        ref = Ref(len(self.shapes))
        self.shapes[ref] = tuple(tensor.shape[1:])
        return ref

    def open(self, functional: Any, inputs: Sequence[Ref]) -> list[Ref]:
        """Append the steps of `functional` called on `inputs`; its outputs."""
        refs: dict[int, Ref] = {id(tensor): ref for tensor, ref in zip(functional.inputs, inputs, strict=True)}
        nodes = list(_nodes(functional))
        used = {id(tensor) for tensor in functional.outputs}.union(*(map(id, node.input_tensors) for node in nodes))
        for node in nodes:
            blocks = () if self.keep_whole or used & set(map(id, node.output_tensors[1:])) else block_calls(node)
            if blocks:
                state = refs[id(node.input_tensors[0])]
                refs[id(node.output_tensors[0])] = self._unroll(blocks, state, node.output_tensors[0])
                continue
            template = keras.tree.map_structure(
                lambda leaf: refs[id(leaf)] if isinstance(leaf, keras.KerasTensor) else leaf,
                (tuple(node.arguments.args), dict(node.arguments.kwargs)),
            )
            inner = None if self.keep_whole and _is_foreign(node.operation) else functional_inside(node.operation)
            if inner is None:
                outputs = [self.new_ref(tensor) for tensor in node.output_tensors]
                self.steps.append(Step(node.operation, template[0], template[1], tuple(outputs)))
            else:
                outputs = self.open(inner, [refs[id(tensor)] for tensor in node.input_tensors])
            refs.update(zip(map(id, node.output_tensors), outputs, strict=True))
        return [refs[id(tensor)] for tensor in functional.outputs]

    def _unroll(self, blocks: Sequence[BlockCall], state: Ref, tensor: Any) -> Ref:
        """Append the calls inside an encoder, each on what the one before it gives; what the last gives."""
        for block in blocks:
            following = self.new_ref(tensor)
            self.steps.append(Step(block.layer, (state,), block.kwargs, (following,)))
            state = following
        return state


def _is_foreign(operation: Any) -> bool:
    """Whether an operation is a model of a class that is not Keras' own, such as a backbone of KerasHub."""
    return isinstance(operation, keras.Model) and not type(operation).__module__.startswith("keras.")


def _nodes(functional: Any) -> Iterator[Any]:
    """The calls recorded in `functional`, each after those whose results it takes (depth first from the outputs)."""
    done: set[int] = set()
    entries = {id(tensor) for tensor in functional.inputs}
    stack = [(call_of(tensor), False) for tensor in reversed(functional.outputs) if id(tensor) not in entries]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            yield node
            continue
        stack.append((node, True))
        stack.extend((call_of(tensor), False) for tensor in reversed(node.input_tensors) if id(tensor) not in entries)
