"""Images in NumPy files (`.npy`), which may have any number of channels: those of a camera, a satellite, a microscope.

Nothing in such a file is executed, and no more memory is taken than the file has bytes.
"""

import io
import math
import tokenize

import numpy as np

from kertl.data._kinds import kind_of
from kertl.errors import DataError

KIND = "NumPy"
_DAMAGED = (ValueError, TypeError, KeyError, EOFError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError)
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def is_array_file(content: bytes) -> bool:
    """Whether the content of a file is that of a `.npy` file."""
    return kind_of(content) == KIND


def array_in(content: bytes, most_pixels: int) -> np.ndarray:
    """The image in a `.npy` file, as `uint8` of shape `(height, width, channels)`.

    Args:
        content: The content of the file.
        most_pixels: The most pixels that an image may have.

    Raises:
        DataError: If it is damaged, or not one image of 8 or 16 bits; the message says why, not which file.
    """
    file = io.BytesIO(content)
    try:
        shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    except _DAMAGED as error:
        raise DataError("is truncated or damaged: the header of the NumPy file cannot be read") from error
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise DataError(f"has {dtype} pixels, whose range is not known; save it as uint8 or uint16")
    if len(shape) not in (2, 3) or not all(type(side) is int and side > 0 for side in shape):
        raise DataError(f"is an array of shape {shape}; an image has (height, width, channels), or (height, width)")
    if shape[0] * shape[1] > most_pixels:
        raise DataError(f"is too large: {shape[0]} x {shape[1]} are more than {most_pixels} pixels")
    count, start = math.prod(shape), file.tell()
    if len(content) < start + count * dtype.itemsize:
        raise DataError("is truncated or damaged: it has fewer pixels than its header says")
    values = np.frombuffer(content, dtype, count, start).reshape(shape, order="F" if fortran else "C")
    pixels = np.ascontiguousarray(values) if dtype.itemsize == 1 else from_sixteen_bits(values)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def from_sixteen_bits(values: np.ndarray) -> np.ndarray:
    """Numbers of 16 bits as 8, rounded: 65535 becomes 255."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def refuse_other_channels(shape: tuple[int, ...], channels: int, argument: str = "") -> None:
    """Raise unless pixels of a shape go with a number of channels; one and three become each other.

    Args:
        shape: `(..., height, width, channels)`.
        channels: What they are to have.
        argument: The name of the array that they are in; of a file, the message says why, not which.

    Raises:
        DataError: If not.
    """
    own = shape[-1]
    if own == channels or (own in (1, 3) and channels in (1, 3)):
        return
    first = shape[-3] == channels or (shape[-3] in (1, 3, 4) and own > 4)
    moved = "pass `x.transpose(0, 2, 3, 1)`" if argument else f"{tuple(shape[-3:])} has {own}"
    advice = f"Channels come last: {moved}" if first else f"Pass channels={own}"
    either = "one and three become each other"
    if argument:
        raise DataError(
            f"`{argument}` must be images of shape (n, height, width, {channels}), as channels={channels} asks "
            f"({either}). Received: shape {shape}. {advice}."
        )
    raise DataError(f"has {own} channels, and channels={channels} is asked for ({either}). {advice}")
