"""From the bytes of an image file to pixels.

Training and prediction read every image through `read_image`, so that they cannot disagree about one.
"""

import io
import re
import stat
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kertl import _checks
from kertl.errors import DataError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 89_478_485  # a quarter of a gigabyte of RGB; where Pillow begins to warn of a decompression bomb
RESIZE = ("stretch", "pad", "crop")

# What Pillow's decoders raise on damaged files.
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
_ODD_METADATA = ("ignore", None, Warning, re.compile(r"PIL\.TiffImagePlugin"), 0)


def read_image(path: str | Path, image_size: tuple[int, int], resize: str = "stretch") -> np.ndarray:
    """The pixels of an image file as the models of kertl see them.

    JPEG, PNG, BMP, GIF, WebP and TIFF are told apart by content, not by name. The EXIF orientation is applied,
    transparency is composited on white, 16-bit gray is scaled to 8 bits (65535 becomes 255), CMYK becomes RGB, and of
    an animation the first frame is read. Sizes change by bilinear interpolation with antialiasing.

    Args:
        path: An image file of at most 89,478,485 pixels.
        image_size: `(height, width)` of the result.
        resize: `"stretch"` changes the aspect ratio, `"pad"` keeps it and adds black at the sides, `"crop"` keeps it
            and cuts off what juts out, equally on both sides.

    Returns:
        `uint8` array of shape `(height, width, 3)`.

    Raises:
        DataError: If the file cannot be read as an image; the message names the file and the reason.
        ValueError: If `image_size` or `resize` is not as described.

    Example:
        >>> import kertl, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (10, 20), "red").save(path)
        >>> kertl.data.read_image(path, (2, 4))[0, 0]
        array([255,   0,   0], dtype=uint8)
    """
    _checks.pair("image_size", image_size)
    _checks.one_of("resize", resize, RESIZE)
    return pixels(path, image_size, resize)


def pixels(path: str | Path, image_size: tuple[int, int], resize: str) -> np.ndarray:
    """`read_image` for arguments that were checked before."""
    try:
        image = decode(read_bytes(path))
    except DataError as error:
        raise DataError(f"The image {str(path)!r} {error}.") from error
    return as_rgb(fit(image, image_size, resize))


def read_bytes(path: str | Path) -> bytes:
    """The content of a regular file that is not empty. The errors here and in `decode` say why, not which file."""
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError("is not a regular file")
        content = path.read_bytes()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and path.is_symlink()
        reason = "is a link to a file that does not exist" if dangling else f"cannot be opened: {error.strerror}"
        raise DataError(reason) from error
    if not content:
        raise DataError("is empty (0 bytes)")
    return content


def decode(content: bytes) -> Image.Image:
    """The whole image, upright, in mode `L` or `RGB`."""
    _ignore_odd_metadata()
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        _refuse_bombs(image)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _eight_bits(image)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise DataError("is not a JPEG, PNG, BMP, GIF, WebP or TIFF image") from error
    except _DAMAGED as error:
        raise DataError(f"is truncated or damaged: {error}") from error


def _ignore_odd_metadata() -> None:
    """Pillow warns of EXIF data that it cannot parse; the pixels are whole all the same.

    The filter stays, because `warnings.catch_warnings` is not safe in threads.
    """
    if _ODD_METADATA not in warnings.filters:
        warnings.filterwarnings("ignore", module=_ODD_METADATA[3].pattern)


def _refuse_bombs(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"is too large: {height} x {width} is more than {MAX_PIXELS} pixels")


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise DataError("has 32-bit pixels, whose range is not known; save it with 8 or 16 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def fit(image: Image.Image, image_size: tuple[int, int], resize: str) -> Image.Image:
    """`image` at `image_size`, bilinear with antialiasing."""
    (height, width), (image_width, image_height) = image_size, image.size
    if resize == "crop":
        scale = max(height / image_height, width / image_width)
        left, top = (image_width - width / scale) / 2, (image_height - height / scale) / 2
        box = (left, top, left + width / scale, top + height / scale)
        box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], image_width), min(box[3], image_height))
        return image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    if resize == "pad":
        scale = min(height / image_height, width / image_width)
        inner = (max(1, round(image_width * scale)), max(1, round(image_height * scale)))
        canvas = Image.new(image.mode, (width, height))
        small = image.resize(inner, Image.Resampling.BILINEAR)
        canvas.paste(small, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return canvas
    return image.resize((width, height), Image.Resampling.BILINEAR)


def as_rgb(image: Image.Image) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The pixels, gray ones three times: resizing gray before and not after this gives the same pixels sooner."""
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
