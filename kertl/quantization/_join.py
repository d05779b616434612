"""Concatenation in 8 bits: all that is joined lies on one grid, as LiteRT asks."""

import dataclasses
from collections.abc import Sequence

import keras

from kertl._checks import complain
from kertl.groups import Ref
from kertl.quantization._node import Node


def joined(nodes: Sequence[Node], name: str) -> tuple[tuple[Node, ...], tuple[tuple[int, ...], ...]]:
    """The nodes, and the numbers of the ranges that share a grid.

    A maximum of a map that is joined becomes a node with a range of its own, so that the map keeps its grid; and a mean
    another one than the mean that the same map has elsewhere, on another grid.

    Args:
        nodes: The nodes of a model.
        name: Its name.

    Raises:
        ValueError: If what is joined has a grid that is given, such as probabilities have.
    """
    made = {node.output: node for node in nodes}
    ranges = sum(node.range is not None for node in nodes)
    groups: list[set[int]] = []
    for join in (node for node in nodes if node.kind == "join"):
        numbers = set() if join.range is None else {join.range}
        for ref in join.inputs:
            source = _source(ref, made)
            if source is not None and source.kind == "same" and _is_maximum(source):
                source = made[source.output] = dataclasses.replace(source, kind="maximum", range=ranges)
                ranges += 1
            elif source is not None and source.kind == "mean":
                source = made[source.output] = dataclasses.replace(source, kind="average")
            if source is None or source.range is None:
                accepted = f"left out where {name!r} joins pixels or probabilities with other features"
                raise complain("quantize", accepted, f"{join.layer.name!r} (Concatenate)")
            numbers.add(source.range)
        apart = [group for group in groups if not group & numbers]
        groups = [*apart, numbers.union(*(group for group in groups if group & numbers))]
    return tuple(made[node.output] for node in nodes), tuple(tuple(sorted(group)) for group in groups)


def _source(ref: Ref, made: dict[Ref, Node]) -> Node | None:
    """The node that gives a tensor its grid, or a maximum of a map on the way there; None for the pictures."""
    node = made.get(ref)
    while node is not None and node.kind == "same" and not _is_maximum(node):
        node = made.get(node.inputs[0])
    return node


def _is_maximum(node: Node) -> bool:
    return isinstance(node.layer, keras.layers.GlobalMaxPooling2D)
