"""Where a flat graph can be cut, and how the pieces between the cuts make blocks.

A cut is a place where only one tensor crosses from front to back (two, where a model such as NASNet has too few of
those), and where no layer with weights is used on both sides.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kertl.groups._graph import Graph, Ref, Step

# What a block is called in layer names: `block_13_expand`, `conv5_block1_2_conv`, `expanded_conv_3_project`.
_BLOCK = re.compile(r"^(?:.*_)?(?:block|expanded_conv)_?\d*[a-z]?(?:_\d+)?(?=_|$)")


@dataclass(frozen=True)
class Cut:
    """The place after the first `end` steps, and the tensors that cross it."""

    end: int
    crossing: tuple[Ref, ...]


def cuts(graph: Graph, width: int) -> list[Cut]:
    """Every place where at most `width` tensors cross, the graph's end among them."""
    last_use: dict[Ref, int] = {ref: at for at, step in enumerate(graph.steps) for ref in step.inputs}
    last_use[graph.output] = len(graph.steps)
    shared_until = _ends_of_sharing(graph.steps)
    found, alive, open_until = [], {graph.input}, -1
    for at, step in enumerate(graph.steps):
        alive |= set(step.outputs)
        alive = {ref for ref in alive if last_use.get(ref, -1) > at}
        open_until = max(open_until, shared_until[at])
        # Two tensors cross only after a merge, where a cell ends: inside a cell such places mean nothing.
        if open_until <= at and (len(alive) == 1 or (len(alive) <= width and len(step.inputs) > 1)):
            found.append(Cut(at + 1, tuple(sorted(alive, key=lambda ref: ref.number))))
    return found


def blocks(graph: Graph, places: Sequence[Cut], stop: int) -> list[Cut]:
    """Those `places` among the first `stop` steps where a block ends, `stop` itself being the last.

    What lies between two places joins the block before it if it has no kernel (a norm, an activation, a pooling),
    unless its name says that it belongs to what it feeds, or it is padding. It also joins if it continues the same
    block.
    """
    inner = [place for place in places if place.end <= stop]
    starts = [0, *(place.end for place in inner[:-1])]
    pieces = [graph.steps[start : place.end] for start, place in zip(starts, inner, strict=True)]
    ends: list[Cut] = []
    block: list[Step] = []
    for number, piece in enumerate(pieces):
        following = next((later for later in pieces[number + 1 :] if _is_padding(piece) or has_kernel(later)), ())
        if block and has_kernel(block) and _begins_block(block, piece, following):
            ends.append(inner[number - 1])
            block = []
        block.extend(piece)
    if inner:
        ends.append(inner[-1])
    return ends


def block_name(steps: Sequence[Step]) -> str:
    """The name of a block: the words common to its layers' names, else the merge or kernel that ends it."""
    with_weights = [step.operation.name for step in steps if step.variables]
    for names in (sorted(_block_ids(steps)), with_weights):
        common = "_".join(_shared_start([name.split("_") for name in names]))
        if any(letter.isdigit() for letter in common) or (common and names is not with_weights):
            return common
    layers = [step for step in steps if isinstance(step.operation, keras.layers.Layer)]
    merges = [step for step in layers if len(step.inputs) > 1]
    with_kernel = [step for step in layers if has_kernel([step])]
    with_variables = [step for step in layers if step.variables]
    candidates = [*with_variables[-1:], *with_kernel[-1:], *merges[-1:]]
    told = [step for step in candidates if not _is_automatic(step.operation)]
    return str((told or candidates or [steps[0]])[-1].operation.name)


def _ends_of_sharing(steps: Sequence[Step]) -> list[int]:
    """For each step, the last step that uses the same layer with weights."""
    last: dict[int, int] = {id(step.operation): at for at, step in enumerate(steps) if step.variables}
    return [last.get(id(step.operation), at) for at, step in enumerate(steps)]


def has_kernel(steps: Iterable[Step]) -> bool:
    """Whether a convolution, dense layer or the like is among the steps: norms and scales only have vectors."""
    return any(len(variable.shape) > 1 for step in steps for variable in step.variables)


def _begins_block(block: Sequence[Step], piece: Sequence[Step], following: Sequence[Step]) -> bool:
    """Whether `piece` is the first of a new block, `block` being what has been collected."""
    if _block_ids(piece) & _block_ids(block):
        return False
    if not has_kernel(piece):
        return has_kernel(following) and _belongs_to(piece, following, block)
    # A depthwise convolution mixes no channels: the convolution after it completes the block.
    kernels = [step for step in block if has_kernel([step])]
    return not isinstance(kernels[-1].operation, keras.layers.DepthwiseConv2D)


def _belongs_to(piece: Sequence[Step], following: Sequence[Step], block: Sequence[Step]) -> bool:
    """Whether `piece`, which has no kernel, belongs to the kernel that it feeds rather than to the block before."""
    if _is_padding(piece):
        return True
    stems = _stems(piece)
    return bool(stems) and stems <= _stems(following) and not stems & _stems(block)


def _shared_start(rows: Sequence[Sequence[str]]) -> list[str]:
    """The items with which all rows begin."""
    columns = zip(*rows, strict=False)
    return [column[0] for column in itertools.takewhile(lambda column: len(set(column)) == 1, columns)]


def _is_padding(piece: Sequence[Step]) -> bool:
    return isinstance(piece[0].operation, (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D))


def _block_ids(steps: Iterable[Step]) -> set[str]:
    matches = (_BLOCK.match(step.operation.name) for step in steps)
    return {match.group() for match in matches if match}


def _stems(steps: Iterable[Step]) -> set[str]:
    """What the names of the steps say about their block; a name given by Keras says nothing."""
    names = {step.operation.name for step in steps if not _is_automatic(step.operation)}
    return {match.group() if (match := _BLOCK.match(name)) else name.rpartition("_")[0] or name for name in names}


def _is_automatic(operation: Any) -> bool:
    """Whether an operation is named after its class alone: `re_lu_14`, `batch_normalization`."""
    name = re.sub(r"_\d+$", "", operation.name)
    return bool(name.replace("_", "") == type(operation).__name__.lower())
