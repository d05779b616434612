"""What features are made from: images from any source as rows that can be counted, identified and read in batches."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import keras
import numpy as np

from kertl.data import ImageData, ImageDataset
from kertl.data._given import is_tf_dataset
from kertl.data._pixels import AS_FLOATS, array_of, images_of
from kertl.errors import ArgumentError, DataError, KindError

_BLOCK = 256
"""Images that are read at a time when only their digests are needed."""


class Source(Protocol):
    """Images in an order of their own."""

    count: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    labels: np.ndarray | None
    identity: dict[str, Any]
    """What decides, besides the digests of the images, what is read."""

    def digests(self) -> np.ndarray:
        """The SHA-256 of the content of each image, of type `S32`."""

    def batches(self, rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The images `rows`, `size` at a time, each batch with the numbers of its rows."""


def source_of(data: Any) -> Source:
    """The source for a caller's `data`.

    Raises:
        TypeError: If `data` is not of an accepted type.
        ValueError: If it has no end.
        DataError: If its batches are not images, or labels do not fit them.
    """
    if isinstance(data, ImageDataset):
        return _Dataset(data)
    if isinstance(data, keras.utils.PyDataset):
        if data.num_batches is None:
            raise _endless(data)
        return _Stream(lambda: (data[index] for index in range(data.num_batches)))
    if is_tf_dataset(data):
        if data.cardinality() == -1:
            raise _endless(data)
        return _Stream(data.as_numpy_iterator)
    parts = data if isinstance(data, tuple) else (data,)
    if not 1 <= len(parts) <= 2 or not all(hasattr(part, "__array__") for part in parts[:1]):
        advice = " Pass data.train, for example." if isinstance(data, ImageData) else ""
        raise KindError(
            "`data` must be a part of `kertl.data`, an array of images or (images, labels), a finite "
            f"`keras.utils.PyDataset` or a finite `tf.data.Dataset`. Received: data={type(data).__name__}.{advice}"
        )
    return _Arrays(*parts)


class _Arrays:
    """Images in memory."""

    def __init__(self, images: Any, labels: Any = None) -> None:
        self._images = _numbers(images_of("data", images))
        if self._images.ndim < 2 or not len(self._images):
            raise DataError(
                f"`data` must hold at least one image, along its first axis. Received: shape {self._images.shape}.",
                code="image-shape",
            )
        self.labels = None if labels is None else array_of("data", labels)
        if self.labels is not None and len(self.labels) != len(self._images):
            raise DataError(
                f"`data` must hold one label per image. Received: {len(self._images)} images and "
                f"{len(self.labels)} labels.",
                code="image-shape",
            )
        self.count, self.shape, self.dtype = len(self._images), self._images.shape[1:], self._images.dtype
        self.identity = _pixels(self.shape, self.dtype)

    def digests(self) -> np.ndarray:
        return _digests(self._images)

    def batches(self, rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for chosen in _chunks(rows, size):
            in_a_row = np.all(np.diff(chosen) == 1)  # then a view does, without a copy
            yield chosen, self._images[slice(chosen[0], chosen[-1] + 1) if in_a_row else chosen]


class _Dataset:
    """A dataset of `kertl.data`: an image is identified by the digest of its file, without decoding it."""

    def __init__(self, dataset: ImageDataset) -> None:
        self._reader = dataset.reader
        resize = dataset.reader.file_resize
        self._known = dataset.digests if resize is not None else None
        self.labels = dataset.labels
        self.count, self.dtype = dataset.num_examples, np.dtype(np.uint8)
        self.shape: tuple[int, ...] = dataset.reader.shape
        self.identity = _pixels(self.shape, self.dtype)
        if resize is not None and self._known is not None:
            self.identity = {"content": "file", "shape": self.shape, "resize": resize}

    def digests(self) -> np.ndarray:
        if self._known is not None:
            return np.array([bytes.fromhex(digest) for digest in self._known], "S32")
        blocks = _chunks(np.arange(self.count), _BLOCK)
        return np.concatenate([_digests(self._reader.take(rows)) for rows in blocks])

    def batches(self, rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for chosen in _chunks(rows, size):
            yield chosen, self._reader.take(chosen)


class _Stream:
    """Batches that come one after the other, perhaps in another order in the next pass.

    A first pass counts the images and keeps their digests and labels; later an image is recognised by its digest.
    """

    def __init__(self, passes: Callable[[], Iterable[Any]]) -> None:
        self._passes = passes
        digests: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        self.shape: tuple[int, ...] = ()
        for images, marks in map(_images_and_labels, passes()):
            if self.shape and images.shape[1:] != self.shape:
                raise DataError(
                    f"`data` must hold images of one size. Received: {self.shape} and {images.shape[1:]}.",
                    code="image-shape",
                )
            self.shape, self.dtype = images.shape[1:], images.dtype
            digests.append(_digests(images))
            labels += [] if marks is None else [marks]
        if not digests:
            raise DataError("`data` must hold at least one batch of images. Received: none.", code="image-shape")
        self._digests = np.concatenate(digests)
        self.count = len(self._digests)
        self.labels = np.concatenate(labels) if labels else None
        self.identity = _pixels(self.shape, self.dtype)

    def digests(self) -> np.ndarray:
        return self._digests

    def batches(self, rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        wanted: dict[bytes, list[int]] = {}
        for row in rows:
            wanted.setdefault(self._digests[row], []).append(int(row))
        chosen: list[int] = []
        pixels: list[np.ndarray] = []
        for images, _ in map(_images_and_labels, self._passes()):
            for image, digest in zip(images, _digests(images), strict=True):
                for row in wanted.pop(digest, ()):
                    chosen.append(row)
                    pixels.append(image)
            while len(chosen) >= size:
                yield np.array(chosen[:size]), np.stack(pixels[:size])
                del chosen[:size], pixels[:size]
        if chosen:
            yield np.array(chosen), np.stack(pixels)
        if wanted:
            raise DataError(
                f"`data` must give the same images at each pass. Received: {sum(map(len, wanted.values()))} of "
                f"{self.count} images did not come again. Leave augmentation to `augment=`.",
                code="image-shape",
            )


def _images_and_labels(batch: Any) -> tuple[np.ndarray, np.ndarray | None]:
    given = batch if isinstance(batch, (tuple, list)) else (batch,)
    # Tensors of the backend may be on a device.
    parts = [keras.ops.convert_to_numpy(part) if keras.ops.is_tensor(part) else part for part in given]
    if not parts or isinstance(parts[0], dict) or (images := images_of("data", parts[0])).ndim < 2:
        raise DataError(
            "`data` must give batches of images, or tuples that begin with images and labels. "
            f"Received: {type(batch).__name__} of {[type(part).__name__ for part in given]}.",
            code="image-shape",
        )
    labels = array_of("data", parts[1]) if len(parts) > 1 and parts[1] is not None else None
    return _numbers(images), labels


def _numbers(images: np.ndarray) -> np.ndarray:
    """Images as bytes or float32, which is what goes to a device."""
    if images.dtype in (np.uint8, np.float32):
        return images
    if images.dtype.kind not in "fiu":
        raise DataError(
            f"`data` must hold images as numbers. Received: dtype {images.dtype}. {AS_FLOATS}", code="image-values"
        )
    return images.astype(np.float32)


def _digests(images: np.ndarray) -> np.ndarray:
    return np.array([hashlib.sha256(image.tobytes()).digest() for image in images], "S32")


def _pixels(shape: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    return {"content": "pixels", "shape": shape, "dtype": str(dtype)}


def _chunks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in itertools.islice(itertools.count(0, size), -(-len(rows) // size)))


def _endless(data: Any) -> ValueError:
    return ArgumentError(
        f"`data` must have an end. Received: {type(data).__name__} of unlimited length. Pass one epoch of it, "
        "`dataset.take(batches)` say.",
        code="image-shape",
    )
