"""How the tensors that cross a boundary become rows of numbers, one row per image."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np

from kertl.errors import ArgumentError

DTYPES = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@dataclasses.dataclass(frozen=True)
class Layout:
    """One row per image: the tensors one after the other, flattened."""

    shapes: tuple[tuple[int, ...], ...]
    """Shape of each tensor, without the batch dimension."""
    dtype: str
    """`"float32"`, `"float16"` or `"bfloat16"`."""

    @property
    def widths(self) -> list[int]:
        """Numbers per tensor."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def row_bytes(self) -> int:
        """Bytes per image."""
        return sum(self.widths) * DTYPES[self.dtype].itemsize

    def pack(self, outputs: Sequence[np.ndarray], count: int) -> np.ndarray:
        """The first `count` rows of a batch.

        Raises:
            ValueError: If a number is too large for the data type.
        """
        flat = [np.asarray(output[:count]).reshape(count, -1) for output in outputs]
        rows = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
        if self.dtype == "float16" and np.abs(rows).max(initial=0) > np.finfo(np.float16).max:
            raise ArgumentError(
                "`dtype` must be able to hold the features, and 'float16' ends at 65504. "
                f"Received: dtype='float16' for features up to {np.abs(rows).max():.4g}. Pass dtype='bfloat16'."
            )
        return np.ascontiguousarray(rows, DTYPES[self.dtype])

    def unpack(self, rows: np.ndarray) -> Any:
        """Rows as the tensors that cross: one array, or a list of them."""
        edges = np.cumsum([0, *self.widths])
        parts = [
            rows[:, start:stop].reshape(len(rows), *shape)
            for start, stop, shape in zip(edges, edges[1:], self.shapes, strict=False)
        ]
        return parts[0] if len(parts) == 1 else parts
