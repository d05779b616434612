"""A grid of whole numbers of 8 bits."""

import dataclasses

import numpy as np

LOW, HIGH = -128.0, 127.0


@dataclasses.dataclass(frozen=True)
class Grid:
    """Real numbers are `scale * (q - zero)`."""

    scale: np.float32
    zero: int
    double: float
    """The scale before it is stored."""

    @classmethod
    def of(cls, low: float, high: float) -> "Grid":
        first, last = (float(np.float32(end)) for end in (low, high))
        scale = (last - first) / 255
        return cls(np.float32(scale), round(LOW - first / scale), scale)
