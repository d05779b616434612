"""From the pixels of an image to the size and the channels that a model takes."""

from typing import Any

import numpy as np
from PIL import Image

from kertl.data._array_files import refuse_other_channels

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""Pillow's names, by the number of channels."""


def fit(
    image: Image.Image, image_size: tuple[int, int], resize: str, whole: tuple[int, int] | None = None
) -> Image.Image:
    """`image` at `image_size`, bilinear with antialiasing.

    `whole` is the `(width, height)` of what it is a smaller copy of, in whole pixels.
    """
    if image.mode in ("LA", "RGBA"):  # Pillow would forget the colour of what is transparent
        return Image.merge(image.mode, [fit(band, image_size, resize) for band in image.split()])
    (height, width), (image_width, image_height) = image_size, whole or image.size
    if resize == "crop":
        scale = max(height / image_height, width / image_width)
        left, top = (image_width - width / scale) / 2, (image_height - height / scale) / 2
        box = (left, top, left + width / scale, top + height / scale)
        across, down = image.width / image_width, image.height / image_height
        box = (
            max(box[0], 0.0) * across,
            max(box[1], 0.0) * down,
            min(box[2], image_width) * across,
            min(box[3], image_height) * down,
        )
        return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    if resize == "pad":
        scale = min(height / image_height, width / image_width)
        inner = (max(1, round(image_width * scale)), max(1, round(image_height * scale)))
        canvas = Image.new(image.mode, (width, height))
        small = image.resize(inner, Image.Resampling.BILINEAR)
        canvas.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return canvas
    return image.resize((width, height), Image.Resampling.BILINEAR)


def in_channels(image: Image.Image, channels: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The pixels, with gray repeated three times: resizing gray before this gives the same pixels faster."""
    mode = MODES[channels]
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def fit_array(
    pixels: np.ndarray, image_size: tuple[int, int], resize: str, channels: int
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """An image in memory, `uint8` of shape `(height, width, channels)`, as `read_image` gives it.

    Raises:
        DataError: If it has another number of channels, unless one and three become each other.
    """
    refuse_other_channels(pixels.shape, channels)
    if pixels.shape[-1] in (1, 3):
        image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))
        return in_channels(fit(image.convert("L") if channels == 1 else image, image_size, resize), channels)
    bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(pixels, -1, 0)]
    return np.stack([np.asarray(fit(band, image_size, resize)) for band in bands], axis=-1)
