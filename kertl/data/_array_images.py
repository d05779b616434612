"""Images that come as arrays."""

from typing import Any

import numpy as np

from kertl.errors import DataError


def array_images(x: Any) -> np.ndarray:
    """`x` as `uint8`, of shape `(n, height, width, channels)`.

    Raises:
        DataError: If it is no array of images of 0..255 with one or three channels.
    """
    x = np.asarray(x)
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or not x.size:
        raise DataError(
            f"`x` must be images of shape (n, height, width, 3) or (n, height, width, 1), at least one. "
            f"Received: shape {x.shape}."
        )
    refuse_other_range(x)
    return x if x.dtype == np.uint8 else np.rint(x).astype(np.uint8)


def refuse_other_range(x: np.ndarray) -> None:
    """Find arrays that hold no pictures of 0..255.

    Raises:
        DataError: If values are outside of it, or floats that fill 0..1 only.
    """
    if x.dtype == np.uint8:
        return
    if x.dtype.kind not in "fiu":
        raise DataError(f"`x` must hold numbers from 0 to 255. Received: dtype {x.dtype}.")
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 255):
        raise DataError(f"`x` must hold numbers from 0 to 255. Received: values from {low:g} to {high:g}.")
    if x.dtype.kind == "f" and 0 < high <= 1:
        raise DataError(
            f"`x` must hold numbers from 0 to 255. Received: floats from {low:g} to {high:g}. Multiply them by 255."
        )
