"""From the bytes of an image file to pixels.

Training and prediction read every image through `read_image`, so they always see the same pixels.
"""

import contextlib
import io
import os
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError

from kertl import _checks
from kertl._terminal import printable
from kertl.data._array_files import array_in, from_sixteen_bits, is_array_file
from kertl.data._budget import Budget, threads
from kertl.data._fit import MODES, fit, fit_array, in_channels
from kertl.data._kinds import READ, kind_of
from kertl.errors import DataError

FORMATS = tuple(kind.upper() for kind in READ)  # Pillow's names
MAX_PIXELS = 89_478_485  # a quarter of a gigabyte of RGB; where Pillow begins to warn of a decompression bomb
MAX_BYTES = 8 * MAX_PIXELS  # the largest image with four channels of 16 bits, uncompressed
RESIZE = ("stretch", "pad", "crop")
IN_FLIGHT = Budget(max(MAX_PIXELS, threads() * 12_000_000))  # pixels: a photo for each thread, or one large image
_ROWS = 256  # of an image that are converted at a time
_SAMPLES_PER_PIXEL = 277  # a tag of TIFF
_QUARTER_TURNS = (5, 6, 7, 8)  # of the orientation in EXIF data

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
# Pillow warns of odd metadata, and of what the following error reports anyway; its bomb warning is not a UserWarning.
_ODD_METADATA = ("ignore", None, UserWarning, re.compile(r"PIL\."), 0)


def read_image(
    source: str | Path | bytes | bytearray | Image.Image,
    image_size: tuple[int, int],
    resize: str = "stretch",
    *,
    channels: int = 3,
) -> np.ndarray:
    """The pixels of an image as the models of kertl see them.

    JPEG, PNG, BMP, GIF, WebP and TIFF are recognised by content, not by name. The EXIF orientation is applied,
    transparency is composited on white, 16-bit gray is scaled to 8 bits (65535 becomes 255), CMYK becomes RGB, and of
    an animation the first frame is read. Sizes change by bilinear interpolation with antialiasing, each channel by
    itself. A JPEG of at least twice the size that is asked for is decoded at 1/2, 1/4 or 1/8 of its size, whose pixels
    differ by about half a gray level from those of the whole one. A NumPy file (`.npy`) holds an image of any number of
    channels, shape `(height, width, channels)`, of type `uint8`, or `uint16`, which is scaled in the same way.

    Args:
        source: An image file of at most 89,478,485 pixels and 683 MiB, the content of one, or a Pillow image, which is
            not changed.
        image_size: `(height, width)` of the result.
        resize: `"stretch"` changes the aspect ratio, `"pad"` keeps it and adds black borders, `"crop"` keeps it and
            cuts off what does not fit, equally on both sides.
        channels: What a pixel has; >= 1. 1: gray; 2: gray and alpha; 3: red, green, blue; 4: these and alpha, which is
            255 where the image has none. A NumPy file must have this number itself, except that one channel and three
            become each other; other files can have 1 to 4.

    Returns:
        `uint8` array of shape `(height, width, channels)`.

    Raises:
        DataError: If the source cannot be read as an image; the message names the file, if there is one, and the
            reason.
        ValueError: If an argument is not as described.

    Example:
        >>> import kertl, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (10, 20), "red").save(path)
        >>> kertl.data.read_image(path, (2, 4))[0, 0]
        array([255,   0,   0], dtype=uint8)
    """
    image_size = _checks.pair("image_size", image_size)
    _checks.one_of("resize", resize, RESIZE)
    _checks.integer("channels", channels, at_least=1)
    given: object = source
    if not isinstance(given, str | Path | bytes | bytearray | Image.Image):
        advice = "`kertl.predict` takes arrays."
        raise _checks.complain("source", "the path of an image, its content, or a Pillow image", given, advice)
    try:
        if isinstance(source, Image.Image):
            _refuse_bombs(source)
            refuse_missing_channels(source, channels)
            with in_flight(source):
                whole = upright(source, in_place=False, channels=channels)
                return in_channels(fit(whole, image_size, resize), channels)
        content = bytes(source) if isinstance(source, bytes | bytearray) else read_file(source)[0]
        return pixels_of(content, image_size, resize, channels)
    except DataError as error:
        pillow = "The Pillow image" if isinstance(source, Image.Image) else "The content"
        named = f"The image {str(source)!r}" if isinstance(source, str | Path) else pillow
        raise DataError(f"{named} {error}.", code="image-file") from error


def pixels_of(content: bytes, image_size: tuple[int, int], resize: str, channels: int = 3) -> np.ndarray:
    """`read_image` for the content of a file."""
    if is_array_file(content):
        return fit_array(array_in(content, MAX_PIXELS), image_size, resize, channels)
    image = opened(content)
    refuse_missing_channels(image, channels)
    whole = scaled_while_decoded(image, image_size, resize)
    with in_flight(image):
        return in_channels(fit(upright(image, channels=channels), image_size, resize, whole), channels)


def scaled_while_decoded(image: Image.Image, image_size: tuple[int, int], resize: str) -> tuple[int, int] | None:
    """Have a large JPEG decoded at 1/2, 1/4 or 1/8 of its size, which takes a fraction of the time and the memory.

    Nothing is enlarged afterwards: it is still at least as large as it is needed. The scale depends on the size of the
    image and the size that is asked for alone.

    Args:
        image: What `opened` gave; of other formats, nothing changes.
        image_size: `(height, width)` that `fit` will make of it.
        resize: How `fit` will.

    Returns:
        The `(width, height)` that it would have when it is upright; None if it is not scaled.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    height, width = image_size
    whole, lies = image.size, lies_on_its_side(image)
    if lies:
        height, width = width, height
    ratios = image.height / height, image.width / width
    ratio = max(ratios) if resize == "pad" else min(ratios)
    scale = next((scale for scale in (8, 4, 2) if scale <= ratio and scale <= min(image.size) // 2), None)
    if scale is None:
        return None
    image.draft(None, (image.width // scale, image.height // scale))
    return (whole[1], whole[0]) if lies else whole


def lies_on_its_side(image: JpegImagePlugin.JpegImageFile) -> bool:
    """Whether an image is turned by a quarter when it is shown as its EXIF data say."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation) in _QUARTER_TURNS
    except _DAMAGED:
        return False


def in_flight(image: Image.Image) -> contextlib.AbstractContextManager[None]:
    """While an image that `opened` gave is decoded and used: waits until others have left enough of the memory."""
    return IN_FLIGHT.take(image.width * image.height)


class Stamp(NamedTuple):
    """What changes when a file is written to, and costs nothing to read."""

    size: int
    """In bytes."""
    mtime_ns: int
    """When it was written, in nanoseconds since 1970."""


def read_file(path: str | Path) -> tuple[bytes, Stamp]:
    """The content of a regular file that is not empty. The errors here and below say why, not which file.

    Nothing else is opened: a device or a pipe may block for ever, and so may a file of 0 bytes in `/proc`.
    """
    path = Path(path)
    try:
        found = path.stat()
        _refuse_irregular(found)
        content = path.read_bytes()
    except OSError as error:
        dangling = isinstance(error, FileNotFoundError) and path.is_symlink()
        reason = "is a link to a file that does not exist" if dangling else f"cannot be opened: {error.strerror}"
        raise DataError(reason) from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot be opened: no file has such a name ({error})") from error
    if not content:
        raise DataError("is empty (0 bytes)")
    return content, Stamp(len(content), found.st_mtime_ns)


def is_readable(found: os.stat_result) -> bool:
    """Whether a file may be opened, which does not block."""
    try:
        _refuse_irregular(found)
    except DataError:
        return False
    return True


def _refuse_irregular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise DataError("is not a regular file")
    if not found.st_size:
        raise DataError("is empty (0 bytes)")
    if found.st_size > MAX_BYTES:
        raise DataError(f"is too large: {found.st_size} bytes are more than {MAX_BYTES}")


def is_unchanged(path: str, stamp: Stamp) -> bool:
    """Whether a file still has this stamp."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return False
    return (found.st_size, found.st_mtime_ns) == stamp


def opened(content: bytes) -> Image.Image:
    """The image in a file, small enough to be decoded; only its header has been read."""
    _ignore_odd_metadata()
    with _reasons(content):
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        _refuse_bombs(image)
        if image.format == "PNG":
            _refuse_wrong_checksums(content)
        return image


def upright(image: Image.Image, *, in_place: bool = True, channels: int = 3) -> Image.Image:
    """What `opened` gave, decoded to its last row; in place saves a copy."""
    with _reasons(b""):
        image.load()
        turned = ImageOps.exif_transpose(image, in_place=True) if in_place else ImageOps.exif_transpose(image)
        found = _eight_bits(turned or image, channels)
        return found.convert("L") if channels == 1 and found.mode != "L" else found


def count_images(image: Image.Image, content: bytes) -> int:
    """How many frames or pages are in the file of `image`, which `opened` gave; 0 if not all can be found.

    A JPEG file counts as one, with or without a preview in it.
    """
    if image.format in ("PNG", "WEBP"):  # their header says it
        return int(getattr(image, "n_frames", 1))
    if image.format not in ("GIF", "TIFF"):
        return 1
    try:  # in a copy, since looking for more frames leaves the first
        return int(getattr(Image.open(io.BytesIO(content), formats=(image.format,)), "n_frames", 1))
    except _DAMAGED:
        return 0


@contextlib.contextmanager
def _reasons(content: bytes) -> Iterator[None]:
    """Explain what Pillow's errors mean for a file with this content."""
    try:
        yield
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"is too large: more than {MAX_PIXELS} pixels") from error
    except UnidentifiedImageError as error:
        samples = _samples_of_tiff(content)
        if samples > 4:
            raise DataError(_only_as_array(samples)) from error
        raise DataError(_unidentified(kind_of(content))) from error
    except _DAMAGED as error:
        raise DataError(f"is truncated or damaged: {printable(str(error))}") from error


def _unidentified(kind: str) -> str:
    if kind in READ:
        return f"is truncated or damaged: it begins like a {kind} image, but its header cannot be read"
    if kind:
        return f"is an image in {kind} format, which cannot be read; save it as JPEG or PNG"
    return f"is not a {', '.join(READ[:-1])} or {READ[-1]} image"


def _ignore_odd_metadata() -> None:
    """Pillow warns of EXIF data that it cannot parse; the pixels are intact all the same.

    The filter stays, because `warnings.catch_warnings` is not safe in threads.
    """
    if _ODD_METADATA not in warnings.filters:
        warnings.filterwarnings("ignore", category=_ODD_METADATA[2], module=_ODD_METADATA[3].pattern)


def _refuse_wrong_checksums(content: bytes) -> None:
    """Pillow checks the checksums of all parts of a PNG file except the pixels."""
    view, start = memoryview(content), 8
    while start + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, start)
        end = start + 8 + length
        checksum = view[end : end + 4]
        if kind == b"IDAT" and len(checksum) == 4 and checksum != struct.pack(">I", zlib.crc32(view[start + 4 : end])):
            raise DataError("is truncated or damaged: the checksum of its pixels is wrong")
        if kind == b"IEND":
            break
        start = end + 4


def _refuse_bombs(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise DataError(f"is too large: {height} x {width} are more than {MAX_PIXELS} pixels")


def refuse_missing_channels(image: Image.Image, channels: int) -> None:
    """Raise if an image from a file that is not NumPy's cannot give that many channels: 2 and 4 have alpha.

    Raises:
        DataError: If so.
    """
    own = max(len(image.getbands()), getattr(image, "tag_v2", {}).get(_SAMPLES_PER_PIXEL, 1))
    if channels not in MODES:
        raise DataError(
            f"has {own} channels, and channels={channels} is asked for, which only NumPy files (.npy) can have. "
            f"Pass channels={own if own in MODES else 3}"
        )
    if channels == 4 and own >= 4 and len(image.getbands()) < 4:
        raise DataError(_only_as_array(own))


def _only_as_array(channels: int) -> str:
    return (
        f"has {channels} channels in TIFF format, which cannot be read; save it as a NumPy file (.npy) of shape "
        f"(height, width, {channels})"
    )


def _samples_of_tiff(content: bytes) -> int:
    """How many channels a TIFF file says it has; 0 if that cannot be read."""
    file = io.BytesIO(content)
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return int(tags.get(_SAMPLES_PER_PIXEL, 1))
    except _DAMAGED:
        return 0


def _eight_bits(image: Image.Image, channels: int = 3) -> Image.Image:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        gray = np.empty(values.shape, np.uint8)
        for rows in _portions(image):
            gray[rows] = from_sixteen_bits(values[rows])
        return Image.fromarray(gray)
    if image.mode in ("I", "F"):
        raise DataError("has 32-bit pixels, whose range is not known; save it with 8 or 16 bits")
    if channels in (2, 4) and image.has_transparency_data:
        return image.convert("RGBA").convert(MODES[channels])
    if image.has_transparency_data:
        opaque = Image.new("RGB", image.size)
        for rows in _portions(image):
            strip = image.crop((0, rows.start, image.width, rows.stop)).convert("RGBA")
            white = Image.new("RGBA", strip.size, "white")
            opaque.paste(Image.alpha_composite(white, strip).convert("RGB"), (0, rows.start))
        return opaque
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _portions(image: Image.Image) -> Iterator[slice]:
    """Some rows at a time, so that what conversions need in between is small."""
    return (slice(top, min(top + _ROWS, image.height)) for top in range(0, image.height, _ROWS))
