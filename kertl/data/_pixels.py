"""Pixels given as numbers, converted to the bytes that images are everywhere else."""

from typing import Any

import numpy as np

from kertl.errors import DataError


def check_shape(x: np.ndarray, named: str) -> None:
    """Raise if an array does not hold images.

    Raises:
        DataError: If it is not of shape `(n, height, width, channels)`, or empty.
    """
    if x.ndim != 4 or not x.size:
        raise DataError(
            f"`{named}` must be images of shape (n, height, width, channels), at least one. Received: shape {x.shape}."
        )


def check_channels(shape: tuple[int, ...], named: str, channels: int) -> None:
    """Raise if images in an array cannot become images of that many channels.

    Raises:
        DataError: If they have another number; one and three become each other.
    """
    own = shape[-1]
    if own == channels or (own in (1, 3) and channels in (1, 3)):
        return
    forms = " or ".join(f"(n, height, width, {count})" for count in ((3, 1) if channels in (1, 3) else (channels,)))
    first = shape[1] == channels or (shape[1] in (1, 3, 4) and own > 4)
    advice = "Channels come last: pass `x.transpose(0, 2, 3, 1)`." if first else f"Pass channels={own}."
    raise DataError(
        f"`{named}` must be images of shape {forms}, as channels={channels} asks. Received: shape {shape}. {advice}"
    )


def array_images(x: Any, named: str = "x") -> np.ndarray:
    """Images in an array as `uint8`, rounded, of shape `(n, height, width, channels)`.

    Raises:
        DataError: If they are not images of 0..255, or are floats that only fill 0..1.
    """
    images, span = as_bytes(x, named)
    refuse_fractions(span, named)
    return images


def as_bytes(x: Any, named: str) -> tuple[np.ndarray, tuple[float, float] | None]:
    """Images as `uint8`, rounded, and their lowest and highest value if they were floats.

    Args:
        x: The images, as numbers from 0 to 255.
        named: Their name in messages.

    Raises:
        DataError: If they are not images, or not in that range.
    """
    x = np.asarray(x)
    check_shape(x, named)
    span = _span(x, named)
    return x if x.dtype == np.uint8 else np.rint(x).astype(np.uint8), span


def refuse_other_range(x: np.ndarray, named: str = "x") -> None:
    """Raise if an array does not hold pixels of 0..255.

    Raises:
        DataError: If values are outside of it, or are floats that only fill 0..1.
    """
    refuse_fractions(_span(x, named), named)


def _span(x: np.ndarray, named: str) -> tuple[float, float] | None:
    """The lowest and highest of floats from 0 to 255; None for whole numbers."""
    if x.dtype == np.uint8:
        return None
    if x.dtype.kind not in "fiu":
        raise DataError(f"`{named}` must hold numbers from 0 to 255. Received: dtype {x.dtype}.")
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 255):
        raise DataError(f"`{named}` must hold numbers from 0 to 255. Received: values from {low:g} to {high:g}.")
    return (low, high) if x.dtype.kind == "f" else None


def refuse_fractions(span: tuple[float, float] | None, named: str) -> None:
    """Raise if floats go from 0 to 1, which would all be rounded to black.

    Args:
        span: The lowest and the highest of all values, None if they were not floats.
        named: The name of the images in messages.

    Raises:
        DataError: If the highest value is above 0 and at most 1.
    """
    if span is not None and 0 < span[1] <= 1:
        raise DataError(
            f"`{named}` must hold numbers from 0 to 255. Received: floats from {span[0]:g} to {span[1]:g}. "
            "Multiply them by 255."
        )
