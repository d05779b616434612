"""A backbone that ends earlier: the chain up to and including one of its layer groups.

A transformer of KerasHub is built again with fewer blocks, as a piece of its graph would not load; it keeps its last
norm.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

from kertl._checks import complain, nearest
from kertl.backbones._found import Found
from kertl.backbones._saving import why_not_saved
from kertl.errors import ArgumentError
from kertl.groups import find_chain


def truncate(found: Found, last: str) -> Found:
    """What was found, ending with the layer group `last`.

    Raises:
        ValueError: If there is no such group; the message lists them.
    """
    chain = find_chain(found.model)
    names = [group.name for group in chain.groups]
    if not isinstance(last, str) or last not in names:
        raise complain(
            "truncate_at",
            f"the name of a layer group of {found.name!r}",
            last,
            f"{nearest(last, names)} The groups are {', '.join(map(repr, names))}.".strip(),
        )
    keep = names.index(last) + 1
    if keep < len(names) and "num_layers" in getattr(found.model, "get_config", dict)():
        return replace(found, model=_fewer_blocks(found, names, keep), name=f"{found.name}_{last}")
    piece = chain.piece(0, keep, name=found.model.name)
    # Where two tensors cross (NASNet), the later one is the group's output.
    model = keras.Model(piece.inputs[0], piece.outputs[-1], name=piece.name)
    reason = why_not_saved(model)
    if reason is not None:
        raise ArgumentError(
            f"`truncate_at` must be None for {found.name!r}: its layers do not load from a file without the rest of it "
            f"({reason}). Cut it with `kertl.split`, or freeze the rest."
        )
    return replace(found, model=model, name=f"{found.name}_{last}")


def _fewer_blocks(found: Found, names: list[str], keep: int) -> keras.Model:
    """The transformer with the blocks of the first `keep` groups and its own weights."""
    config = found.model.get_config()
    if len(names) != config["num_layers"] + 1 or keep < 2:
        raise complain(
            "truncate_at", f"one of the blocks of {found.name!r}, {', '.join(map(repr, names[1:]))}", names[keep - 1]
        )
    shorter = type(found.model).from_config({**config, "num_layers": keep - 1})
    theirs, ours = find_chain(found.model).groups, find_chain(shorter).groups
    for their_group, our_group in zip(theirs, ours, strict=False):
        _copy_weights(their_group.layers, our_group.layers)
    _copy_weights(theirs[-1].layers[1:], ours[-1].layers[1:])
    return shorter


def _copy_weights(theirs: Sequence[Any], ours: Sequence[Any]) -> None:
    for their_layer, our_layer in zip(theirs, ours, strict=False):
        our_layer.set_weights(their_layer.get_weights())
