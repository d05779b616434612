"""The graph of a model for TensorBoard: a box for each layer group, which opens to its layers."""

from collections.abc import Mapping, Sequence
from typing import Any


def graph_of(nodes: Mapping[str, tuple[str, Sequence[str]]]) -> Any:
    """A graph as a message.

    Args:
        nodes: By name, "group/layer": the kind of layer, and the names of the nodes whose outputs it takes.
    """
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef

    return GraphDef(node=[NodeDef(name=name, op=kind, input=inputs) for name, (kind, inputs) in nodes.items()])
