"""Which tensors of a backbone a head sees that looks at several depths, and where they are in its graph."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kertl._checks import complain
from kertl.groups._chain import Chain
from kertl.groups._classifier import activation_of
from kertl.groups._graph import Ref, Step, replay

MOST_DEPTHS = 9
# Layers, functions and operations that are activations; a gate, such as a sigmoid, is not among them.
_RECTIFIERS = "celu elu gelu hardsilu hardswish leakyrelu mish prelu relu relu6 selu silu softplus swish"


def depths_of(chain: Chain, wanted: str | Sequence[str], most_channels: int) -> Mapping[str, Ref]:
    """The widest activation of some layer groups, by the name of the group, from the input to the end.

    Of the last group it is what leaves it: the features that the backbone was made to give.

    Args:
        chain: A backbone, or a classifier, whose head is left out.
        wanted: The names of groups; or "auto": the groups where a main boundary ends and then the other ones, the
            deepest first, as long as there are at most nine of them with `most_channels` together. The last group is
            always among them.
        most_channels: The most channels of all depths together that "auto" takes; >= 1.

    Raises:
        ValueError: If there is no such group.
    """
    groups = chain.backbone_groups
    names = [group.name for group in groups]
    tensors = [*(_widest(chain, number) for number in range(len(groups) - 1)), chain.crossing(len(groups))[0]]
    if wanted != "auto":
        if isinstance(wanted, str) or not wanted or not set(wanted) <= set(names):
            raise complain("depths", f"'last', 'auto', or a list of names among {', '.join(map(repr, names))}", wanted)
        return {name: ref for name, ref in zip(names, tensors, strict=True) if name in wanted}
    by_depth = range(len(groups) - 1, -1, -1)
    order = sorted(by_depth, key=lambda number: groups[number].boundary != "main")  # stable
    chosen: list[int] = []
    left = most_channels
    for number in order:
        channels = chain.graph.shapes[tensors[number]][-1] or 0
        if not chosen or (len(chosen) < MOST_DEPTHS and channels <= left):
            chosen.append(number)
            left -= channels
    return {names[number]: tensors[number] for number in sorted(chosen)}


def with_tensors(chain: Chain, refs: Sequence[Ref]) -> tuple[Any, list[Any]]:
    """A new input, and tensors of the chain computed from it through the same layers."""
    shape = chain.graph.shapes[chain.graph.input]
    inputs = keras.Input(shape, dtype=chain.graph.input_dtype)
    end = chain.ends[len(chain.backbone_groups) - 1].end
    return inputs, replay(chain.graph.steps[:end], {chain.graph.input: inputs}, refs)


def _widest(chain: Chain, group: int) -> Ref:
    """The tensor with the most channels among the activations in a group and what leaves it; of equals the last.

    The narrow end of an inverted residual holds less than the wide activation before it.
    """
    shapes = chain.graph.shapes
    (leaving, *_) = chain.crossing(group + 1)
    active = [step.outputs[0] for step in chain.steps(group, group + 1) if _is_activation(step)]
    maps = [
        ref
        for ref in active
        if len(shapes[ref]) == len(shapes[leaving]) and _area(shapes[ref]) >= _area(shapes[leaving])
    ]
    return max([leaving, *maps], key=lambda ref: (shapes[ref][-1] or 0, ref.number))


def _is_activation(step: Step) -> bool:
    name = activation_of(step.operation) or type(step.operation).__name__
    return name.replace("_", "").lower() in _RECTIFIERS.split()


def _area(shape: Sequence[int | None]) -> int:
    """Places of a map, or tokens; 1 of a vector."""
    return math.prod(side or 1 for side in shape[:-1])
