"""Decoding and resizing image files inside a graph of TensorFlow, as `kertl.data.read_image` does outside of it.

JPEG, PNG, BMP and GIF (the first frame) are read, the EXIF orientation of a JPEG is applied, and transparency is
composited on white. Pixels differ from those of Pillow by the rounding of two decoders, mostly at most 2 of 255.
"""

from typing import Any

import tensorflow as tf

_ORIENTATION = 0x0112  # the tag of EXIF
_SEARCHED = 65_536  # bytes at the start of a file in which EXIF data is looked for: the largest that a JPEG can have
_SCALES = (1, 2, 4, 8)  # by which JPEG can be divided while it is decoded
_LUMA = (0.299, 0.587, 0.114)  # of ITU-R 601-2, as Pillow turns colour into gray


def decoded(content: Any, image_size: tuple[int, int], channels: int, resize: str) -> Any:
    """The pixels of an image file, float32 of 0..255 and shape `(height, width, channels)`.

    Args:
        content: Scalar string tensor, the bytes of the file.
        image_size: `(height, width)` of the result.
        channels: 1 or 3.
        resize: "stretch", "pad" or "crop".
    """
    is_jpeg = tf.strings.substr(content, 0, 2) == b"\xff\xd8"
    orientation = tf.cond(is_jpeg, lambda: _orientation(content), lambda: 1)

    def of_jpeg() -> tuple[Any, Any]:
        whole = tf.image.extract_jpeg_shape(content)[:2]
        whole = tf.where(orientation > 4, whole[::-1], whole)
        return _of_jpeg(content, _scale(whole, image_size, resize)), whole

    def of_others() -> tuple[Any, Any]:
        found = tf.io.decode_image(content, expand_animations=False)
        return found, tf.shape(found)[:2]

    pixels, whole = tf.cond(is_jpeg, of_jpeg, of_others)
    pixels.set_shape([None, None, None])
    pixels = _upright(_opaque(tf.cast(pixels, tf.float32), channels), orientation)
    fitted = _fitted(pixels, image_size, resize, whole)
    return tf.ensure_shape(tf.clip_by_value(tf.round(fitted), 0.0, 255.0), (*image_size, channels))


def _scale(whole: Any, image_size: tuple[int, int], resize: str) -> Any:
    """By which a JPEG of that upright size is divided while it is decoded, as `scaled_while_decoded` chooses it."""
    ratios = tf.cast(whole, tf.float64) / tf.constant(image_size, tf.float64)
    ratio = tf.reduce_max(ratios) if resize == "pad" else tf.reduce_min(ratios)
    most = tf.minimum(ratio, tf.cast(tf.reduce_min(whole) // 2, tf.float64))
    return tf.reduce_max(tf.where(tf.constant(_SCALES, tf.float64) <= most, _SCALES, 1))


def _of_jpeg(content: Any, scale: Any) -> Any:
    """As Pillow decodes it; TensorFlow's default is a faster, coarser transform."""

    def at(ratio: int) -> Any:
        return lambda: tf.io.decode_jpeg(content, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    return tf.switch_case(tf.reduce_sum(tf.cast(scale > _SCALES, tf.int32)), [at(ratio) for ratio in _SCALES])


def _opaque(pixels: Any, channels: int) -> Any:
    """Gray or colour, without transparency."""
    own = tf.shape(pixels)[2]
    alpha = tf.cond(own % 2 == 0, lambda: pixels[..., -1:] / 255, lambda: tf.ones_like(pixels[..., :1]))
    gray = tf.cond(own < 3, lambda: pixels[..., :1], lambda: tf.zeros_like(pixels[..., :1]))
    colour = tf.cond(own < 3, lambda: tf.repeat(gray, 3, axis=-1), lambda: pixels[..., :3])
    on_white = tf.round(colour * alpha + 255 * (1 - alpha))
    if channels == 3:
        return on_white
    return tf.round(tf.reduce_sum(on_white * tf.constant(_LUMA), axis=-1, keepdims=True))


def _orientation(content: Any) -> Any:
    """The EXIF orientation of a JPEG file, 1 to 8; 1 if it has none."""
    head = tf.strings.substr(content, 0, _SEARCHED)
    # What comes before the first mark is dropped; bytes without the mark stay in one piece.
    parts = tf.strings.split(head, b"Exif\x00\x00", maxsplit=1)
    return tf.cond(tf.size(parts) > 1, lambda: _orientation_of(tf.io.decode_raw(parts[1], tf.uint8)), lambda: 1)


def _orientation_of(exif: Any) -> Any:
    """The orientation in the bytes of EXIF data, a TIFF header and a list of tags of 12 bytes each."""
    # Bytes past the end read as zeros.
    data = tf.concat([tf.cast(exif, tf.int32), tf.zeros([_SEARCHED], tf.int32)], axis=0)
    little = data[0] == ord("I")

    def number(at: Any) -> Any:
        """16 bits at some places."""
        first, second = tf.gather(data, at), tf.gather(data, at + 1)
        return tf.where(little, first + 256 * second, 256 * first + second)

    start = tf.where(little, number(4), number(6))
    tags = start + 2 + 12 * tf.range(tf.minimum(number(start), 1000))
    found = tf.reduce_max(tf.where(number(tags) == _ORIENTATION, number(tags + 8), 0))
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _upright(pixels: Any, orientation: Any) -> Any:
    """Pixels turned and mirrored as the orientation says."""
    turned = tf.cond(orientation > 4, lambda: tf.transpose(pixels, (1, 0, 2)), lambda: pixels)
    # After the transposition of 5 to 8, which rows and columns are in reverse.
    rows = tf.reduce_any(orientation == tf.constant([3, 4, 7, 8]))
    columns = tf.reduce_any(orientation == tf.constant([2, 3, 6, 7]))
    turned = tf.cond(rows, lambda: tf.reverse(turned, [0]), lambda: turned)
    return tf.cond(columns, lambda: tf.reverse(turned, [1]), lambda: turned)


def _fitted(pixels: Any, image_size: tuple[int, int], resize: str, whole: Any) -> Any:
    """Pixels at that size, bilinear with antialiasing; see `kertl.data.read_image`.

    `whole` is the size of what they are a smaller copy of, or their own.
    """
    size, own = tf.constant(image_size, tf.float64), tf.cast(tf.shape(pixels)[:2], tf.float64)
    whole = tf.cast(whole, tf.float64)
    if resize == "stretch":
        return _scaled(pixels, tf.constant(image_size), size / own, tf.zeros(2, tf.float64))
    if resize == "crop":
        covering = whole * tf.reduce_max(size / whole)
        return _scaled(pixels, tf.constant(image_size), covering / own, (size - covering) / 2)
    inner = tf.maximum(tf.round(whole * tf.reduce_min(size / whole)), 1)
    small = _scaled(pixels, tf.cast(inner, tf.int32), inner / own, tf.zeros(2, tf.float64))
    before = tf.cast((size - inner) // 2, tf.int32)
    after = tf.constant(image_size) - tf.cast(inner, tf.int32) - before
    return tf.pad(small, tf.concat([tf.stack([before, after], axis=1), tf.zeros([1, 2], tf.int32)], axis=0))


def _scaled(pixels: Any, size: Any, scale: Any, translation: Any) -> Any:
    return tf.raw_ops.ScaleAndTranslate(
        images=pixels[None],
        size=size,
        scale=tf.cast(scale, tf.float32),
        translation=tf.cast(translation, tf.float32),
        kernel_type="triangle",
        antialias=True,
    )[0]
