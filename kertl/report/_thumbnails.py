"""Images inside a page."""

import base64
import io

import numpy as np
from PIL import Image

_SIDE = 224  # pixels of the longer side, at most
_STRENGTH = 0.55  # of the colours over an image


def thumbnail(pixels: np.ndarray, places: np.ndarray | None = None) -> str:
    """An image as a `data:` address; with the places that speak for something in warm colours over it.

    Args:
        pixels: Shape `(height, width, channels)`, 0..255; of more than four channels the first three are shown.
        places: From 0 to 1, shape `(height, width)`.
    """
    colours = _colours(pixels)
    if places is not None:
        import matplotlib as mpl

        warm = 255 * mpl.colormaps["inferno"](places)[..., :3]
        share = _STRENGTH * places[..., None]
        colours = ((1 - share) * colours + share * warm).astype(np.uint8)
    picture = Image.fromarray(colours)
    picture.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=82)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def _colours(pixels: np.ndarray) -> np.ndarray:
    """An image in three channels."""
    channels = pixels.shape[-1]
    if channels < 3:
        return np.repeat(pixels[..., :1], 3, axis=-1)
    return np.ascontiguousarray(pixels[..., :3])
