"""Reading images and labels given as arrays, a `tf.data.Dataset` or a `keras.utils.PyDataset`."""

import dataclasses
import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kertl._memory import free_memory, readable
from kertl.data._array_files import refuse_other_channels
from kertl.data._array_labels import label_array
from kertl.data._pixels import Levels, check_shape, images_of
from kertl.data._readers import resized
from kertl.errors import ArgumentError, DataError, KindError

_logger = logging.getLogger(__name__)

# How many images of an array are converted at a time, so that no second copy of all of them is made.
_AT_ONCE = 256


class Room:
    """The memory that the images may take: half of what is free, since they are copied once after all are read."""

    def __init__(self) -> None:
        self._most = free_memory() // 2
        self._taken = 0

    def take(self, part: str, count: int) -> None:
        """Note `count` bytes more.

        Raises:
            DataError: If they do not fit.
        """
        self.check(part, count)
        self._taken += count

    def check(self, part: str, count: int) -> None:
        """Raise if `count` bytes more do not fit.

        Raises:
            DataError: If so.
        """
        if self._taken + count > self._most:
            raise DataError(
                f"`{part}` must fit into half of the free memory, {readable(self._most)}, together with the other "
                f"parts. Received: {readable(self._taken + count)}. Pass a smaller `image_size`, or make the data with "
                "`from_directory` or `from_csv`, which read files batch by batch.",
                code="memory",
            )


@dataclasses.dataclass(frozen=True)
class Given:
    """A part as it was given, its images still in batches."""

    batches: Sequence[np.ndarray]
    """Images of type `uint8`, each batch of shape `(n, height, width, channels)`."""
    labels: np.ndarray
    """Their labels as they were."""
    digests: Sequence[str]
    """SHA-256 of each image as it was, before it was resized."""
    class_names: Sequence[str]
    """The class names that the dataset has; empty if it has none."""
    batch_size: int | None
    """Images in its first batch; None for arrays."""
    by_content: bool
    """Whether each pass may have another order, so that an image is only known by its content."""


def read(
    part: str,
    data: Any,
    room: Room,
    image_size: tuple[int, int] | None,
    resize: str,
    channels: int,
    value_range: tuple[float, float] | None = None,
) -> Given:
    """All images and labels of a part, from one pass.

    Args:
        part: Its name, for messages.
        data: `(x, y)`, a finite `tf.data.Dataset` or a finite `keras.utils.PyDataset`.
        room: The memory that the images may take.
        image_size: `(height, width)` to resize to; None for their present size.
        resize: How images are resized.
        channels: How many channels they are to have.
        value_range: What is black and what is white, see `Levels`.

    Raises:
        TypeError: If `data` is none of these.
        ValueError: If it has no end.
        DataError: If its batches are not images and labels, or do not fit into memory.
    """
    batches, count = _batches(part, data)
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    digests: list[str] = []
    levels = Levels(part, value_range)
    for x, y in (_pair(part, batch) for batch in batches):
        pixels = levels.as_bytes(x)
        digests += [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]
        refuse_other_channels(pixels.shape, channels, part)
        pixels = resized(pixels, image_size, resize, channels)
        if images and pixels.shape[1:] != images[0].shape[1:]:
            raise DataError(
                f"`{part}` must hold images of one size, unless `image_size` is given. Received: "
                f"{images[0].shape[1:3]} and {pixels.shape[1:3]}.",
                code="image-shape",
            )
        if not images and count:
            _logger.info("The images of `%s` take about %s of memory.", part, readable(count * pixels.nbytes))
            room.check(part, count * pixels.nbytes)
        room.take(part, pixels.nbytes)
        images.append(pixels)
        labels.append(y)
    if not images:
        raise DataError(f"`{part}` must hold at least one batch of images. Received: none.", code="image-shape")
    levels.judge()
    return Given(
        images,
        _stacked(part, labels),
        digests,
        class_names=list(map(str, getattr(data, "class_names", None) or ())),
        batch_size=None if isinstance(data, tuple | list) else len(images[0]),
        by_content=is_tf_dataset(data),
    )


def is_tf_dataset(data: Any) -> bool:
    """Whether `data` is a `tf.data.Dataset`, found out without importing TensorFlow."""
    kinds = type(data).__mro__
    return any(kind.__module__.startswith("tensorflow.") and kind.__name__ == "DatasetV2" for kind in kinds)


def _batches(part: str, data: Any) -> tuple[Iterable[Any], int | None]:
    """The batches of one pass, and their number if it is known."""
    if isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise _endless(part, data)
        return (data[index] for index in range(data.num_batches)), data.num_batches
    if is_tf_dataset(data):
        count = int(data.cardinality())
        if count == -1:
            raise _endless(part, data)
        return data.as_numpy_iterator(), count if count >= 0 else None
    if isinstance(data, tuple | list) and len(data) == 2:
        x, y = images_of(part, data[0]), label_array(data[1], part)
        check_shape(x, part)
        if y.shape[:1] != x.shape[:1]:
            raise DataError(
                f"`{part}` must have one label per image. Received: {len(x)} images and labels of shape {y.shape}.",
                code="image-shape",
            )
        return _slices(x, y), -(-len(x) // _AT_ONCE)
    raise KindError(
        f"`{part}` must be (images, labels) as arrays, a finite `tf.data.Dataset` or a finite `keras.utils.PyDataset`. "
        f"Received: {part}={type(data).__name__}."
    )


def _slices(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((x[start : start + _AT_ONCE], y[start : start + _AT_ONCE]) for start in range(0, len(x), _AT_ONCE))


def _endless(part: str, data: Any) -> ValueError:
    return ArgumentError(
        f"`{part}` must have an end. Received: {part}={type(data).__name__} of unlimited length. "
        "Pass one epoch of it, such as `dataset.take(batches)`.",
        code="image-shape",
    )


def _pair(part: str, batch: Any) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels of a batch."""
    if not isinstance(batch, tuple | list) or len(batch) != 2 or any(isinstance(half, dict) for half in batch):
        size = f" of {len(batch)}" if isinstance(batch, tuple | list) else ""
        raise DataError(
            f"`{part}` must give batches of (images, labels), without sample weights. "
            f"Received: {type(batch).__name__}{size}.",
            code="image-shape",
        )
    x, y = images_of(part, batch[0]), label_array(batch[1], part)
    if x.ndim == 3:
        raise DataError(
            f"`{part}` must give batches. Received: single images of shape {x.shape}. Pass `dataset.batch(32)`.",
            code="image-shape",
        )
    if y.shape[:1] != x.shape[:1]:
        raise DataError(
            f"`{part}` must give one label per image. Received: images of shape {x.shape} with labels of shape "
            f"{y.shape}.",
            code="image-shape",
        )
    return x, y


def _stacked(part: str, labels: Sequence[np.ndarray]) -> np.ndarray:
    shapes = sorted({batch.shape[1:] for batch in labels})
    if len(shapes) > 1:
        raise DataError(f"`{part}` must give labels of one shape. Received: {shapes}.", code="image-shape")
    return np.concatenate(labels)
