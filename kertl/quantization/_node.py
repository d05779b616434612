"""One operation of those that 8 bits know."""

import dataclasses
from typing import Any

from kertl.groups import Ref


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation, with what is folded into it.

    Attributes:
        kind: "entry", "conv", "depthwise", "dense", "norm", "add", "multiply", "join", "mean", "activation" or "same";
            "average" and "maximum" of a map, on the grid of what they are joined with; of a standard deviation
            "centre" (the mean), "squares" (of differences), "variance" and "root".
        layer: The layer or operation; None for what it is not needed for; of a "root" what is added before it.
        norm: The BatchNorm that is folded into it, or that it is.
        activation: What is applied to its result before that is rounded.
        inputs: What it takes.
        output: What it gives.
        place: Which step of the graph its layer is.
        range: The number of its range among those that are observed; None if its grid is given.
    """

    kind: str
    layer: Any
    norm: Any
    activation: str
    inputs: tuple[Ref, ...]
    output: Ref
    place: int
    range: int | None = None
