"""Where the pixels of a batch come from: files, or memory.

A reader has the `shape` of one image, and `take(rows)`, which gives those images as one `uint8` array. Its
`file_resize` says how files are resized to that shape, and is None if the pixels do not come from files.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from kertl.data._budget import threads
from kertl.data._decode import Stamp, is_unchanged, pixels_of, read_file
from kertl.data._fit import fit_array
from kertl.data._kept import KeptPixels
from kertl.errors import DataError

ALIGNMENT = 64
"""Bytes, at a multiple of which TensorFlow wants the memory of a tensor to begin; elsewhere it aborts the process."""


@dataclasses.dataclass(frozen=True)
class Held:
    """One array in memory that has the images of a reader, or will have them."""

    images: np.ndarray
    """The array, which is never replaced."""
    places: np.ndarray
    """Where in it each image of the reader is."""
    cache: "MemoryReader | None" = None
    """What reads the images that the array does not have yet; None if it has all."""

    def lacking(self) -> bool:
        """Whether there are images that were not read yet."""
        return self.cache is not None and not bool(self.cache.known[self.places].all())

    def fill(self, places: np.ndarray) -> None:
        """Read the images at these places, as far as they were not read yet."""
        if self.cache is not None:
            self.cache.fill(places)


class Reader(Protocol):
    """What an `ImageDataset` reads images from."""

    shape: tuple[int, int, int]
    """`(height, width, channels)` of each."""
    file_resize: str | None
    fitted: str | None
    """How the images were resized, "stretch", "pad" or "crop"; None if they were not."""

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`, of shape `(len(rows), height, width, channels)`."""

    def at_size(self, image_size: tuple[int, int], resize: str | None = None, channels: int | None = None) -> "Reader":
        """A reader of the same images at another size, resized in another way, or in other channels; None keeps these.

        Raises:
            DataError: If the images were resized in another way already, and the originals are not known; or if they
                are in memory and have other channels than those, unless one and three become each other.
        """

    def subset(self, rows: np.ndarray) -> "Reader":
        """A reader of only the images `rows`; nothing is read or copied."""

    def held(self) -> Held | None:
        """Where in memory the images are; None if they are not held in one array."""


@dataclasses.dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as it was when the data set was made."""

    path: str
    """Where it is."""
    sha256: str
    """Digest of its content."""
    stamp: Stamp
    """Its size and time."""

    def read(self) -> bytes:
        """The content, which must not have changed; a file that was only touched or copied again counts as the same."""
        try:
            content, stamp = read_file(self.path)
        except DataError as error:
            raise DataError(f"{error}; it could be read when the data set was made", code="image-file") from error
        if stamp != self.stamp and hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(
                "was changed after the data set was made from it; make the data set anew", code="image-file"
            )
        return content


class FileReader:
    """Images decoded from files, several at once; those that were kept are not decoded again."""

    def __init__(
        self,
        files: Sequence[KnownFile],
        image_size: tuple[int, int],
        resize: str,
        channels: int = 3,
        kept: KeptPixels | None = None,
    ) -> None:
        self.files = list(files)
        self.shape = (*image_size, channels)
        self.resize = resize
        self.file_resize: str | None = resize
        self.fitted: str | None = resize
        self.kept = kept if kept is not None and kept.fits(self.shape, resize) else None

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        images = np.empty((len(rows), *self.shape), np.uint8)

        def fill(places: range) -> None:
            for place in places:
                images[place] = self._pixels(self.files[rows[place]])

        workers = threads()
        for _ in decoders(workers).map(fill, (range(start, len(rows), workers) for start in range(workers))):
            pass
        return images

    def at_size(
        self, image_size: tuple[int, int], resize: str | None = None, channels: int | None = None
    ) -> "FileReader":
        """A reader of the same files at another size, resized in another way, or in other channels."""
        return FileReader(self.files, image_size, resize or self.resize, channels or self.shape[2], self.kept)

    def subset(self, rows: np.ndarray) -> "FileReader":
        """A reader of the files `rows`."""
        files = [self.files[row] for row in rows]
        return FileReader(files, self.shape[:2], self.resize, self.shape[2], self.kept)

    def held(self) -> Held | None:
        """None: a file may have changed since its pixels were kept."""
        return None

    def _pixels(self, file: KnownFile) -> np.ndarray:
        kept = None if self.kept is None else self.kept.get(file.path)
        if kept is not None and is_unchanged(file.path, file.stamp):
            return kept
        try:
            pixels = pixels_of(file.read(), self.shape[:2], self.resize, self.shape[2])
        except DataError as error:
            raise DataError(f"The image {file.path!r} {error}.", code="image-file") from error
        if self.kept is not None and kept is None:  # the check did not decode it, since it was known
            self.kept.put(file.path, pixels)
        return pixels


class ArrayReader:
    """Images in memory at their final size; those at `chosen`, or all of them.

    `resize` is how they are resized further, and `fitted` how they were resized to this size, if they were.
    """

    file_resize: str | None = None

    def __init__(
        self,
        images: np.ndarray,
        resize: str = "stretch",
        chosen: np.ndarray | None = None,
        *,
        fitted: str | None = None,
    ) -> None:
        self.images = images
        self.shape = images.shape[1:]
        self.resize = resize
        self.chosen = chosen
        self.fitted: str | None = fitted

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        return self.images[rows if self.chosen is None else self.chosen[rows]]

    def at_size(
        self, image_size: tuple[int, int], resize: str | None = None, channels: int | None = None
    ) -> "ArrayReader":
        """The same images at another size, in other channels, or resized in another way if they were not before."""
        resize = resize or self.resize
        if self.fitted not in (None, resize):
            raise DataError(
                f"Images in memory that were resized with resize={self.fitted!r} cannot become those of "
                f"resize={resize!r}. Make the data from the original images with resize={resize!r}."
            )
        images = self.images if self.chosen is None else self.images[self.chosen]
        fitted = self.fitted or fit_by(images, image_size, resize)
        return ArrayReader(resized(images, image_size, resize, channels or self.shape[2]), resize, fitted=fitted)

    def subset(self, rows: np.ndarray) -> "ArrayReader":
        """The images `rows` in the same memory."""
        chosen = rows if self.chosen is None else self.chosen[rows]
        return ArrayReader(self.images, self.resize, chosen, fitted=self.fitted)

    def held(self) -> Held | None:
        """The array, and where in it the images are."""
        return Held(self.images, np.arange(len(self.images)) if self.chosen is None else self.chosen)


class MemoryReader:
    """The images of another reader, each read once and then cached.

    Threads that ask for an image at the same time write the same pixels, and its mark is set afterwards, so no lock is
    needed.
    """

    def __init__(self, reader: Reader, size: int) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.file_resize: str | None = reader.file_resize
        self.fitted: str | None = reader.fitted
        self.images = aligned((size, *reader.shape))
        self.known = np.zeros(size, bool)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        self.fill(rows)
        return self.images[rows]

    def fill(self, rows: np.ndarray) -> None:
        """Read those of the images `rows` that were not read yet."""
        missing = rows[~self.known[rows]]
        if len(missing):
            self.images[missing] = self.reader.take(missing)
            self.known[missing] = True

    def at_size(
        self, image_size: tuple[int, int], resize: str | None = None, channels: int | None = None
    ) -> "MemoryReader":
        """A reader of the same images in another form, with a cache of its own."""
        return MemoryReader(self.reader.at_size(image_size, resize, channels), len(self.known))

    def subset(self, rows: np.ndarray) -> "RowsReader":
        """The images `rows` in the same memory: what one of the two readers has read, the other does not read again."""
        return RowsReader(self, rows)

    def held(self) -> Held | None:
        """The cache, which has the images that were read."""
        return Held(self.images, np.arange(len(self.known)), self)


class RowsReader:
    """Some of the images of another reader."""

    def __init__(self, reader: Reader, rows: np.ndarray) -> None:
        self.reader = reader
        self.rows = rows
        self.shape = reader.shape
        self.file_resize: str | None = reader.file_resize
        self.fitted: str | None = reader.fitted

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows` of the chosen ones."""
        return self.reader.take(self.rows[rows])

    def at_size(
        self, image_size: tuple[int, int], resize: str | None = None, channels: int | None = None
    ) -> "RowsReader":
        """The same images in another form."""
        return RowsReader(self.reader.at_size(image_size, resize, channels), self.rows)

    def subset(self, rows: np.ndarray) -> "RowsReader":
        """The images `rows` of the chosen ones."""
        return RowsReader(self.reader, self.rows[rows])

    def held(self) -> Held | None:
        """Where the chosen images are."""
        held = self.reader.held()
        return None if held is None else dataclasses.replace(held, places=held.places[self.rows])


class JoinedReader:
    """The images of several readers, one reader after the other."""

    def __init__(self, readers: Sequence[Reader], sizes: Sequence[int]) -> None:
        self.readers = list(readers)
        self.sizes = list(sizes)
        self.shape = self.readers[0].shape
        modes = {reader.file_resize for reader in self.readers}
        self.file_resize: str | None = self.readers[0].file_resize if len(modes) == 1 else None
        self.fitted: str | None = next((reader.fitted for reader in self.readers if reader.fitted), None)
        self._ends = np.cumsum(self.sizes)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        images = np.empty((len(rows), *self.shape), np.uint8)
        owners = np.searchsorted(self._ends, rows, side="right")
        for owner, reader in enumerate(self.readers):
            places = np.flatnonzero(owners == owner)
            if len(places):
                images[places] = reader.take(rows[places] - (self._ends[owner] - self.sizes[owner]))
        return images

    def at_size(
        self, image_size: tuple[int, int], resize: str | None = None, channels: int | None = None
    ) -> "JoinedReader":
        """The same images in another form."""
        return JoinedReader([reader.at_size(image_size, resize, channels) for reader in self.readers], self.sizes)

    def subset(self, rows: np.ndarray) -> "RowsReader":
        """The images `rows`."""
        return RowsReader(self, rows)

    def held(self) -> Held | None:
        """None: they are in several places."""
        return None


def joined_reader(readers: Sequence[Reader], sizes: Sequence[int]) -> Reader:
    """A reader of the images of several readers, one after the other; if all read files, it reads several at once too.

    Args:
        readers: Readers of images of one size.
        sizes: Number of images of each reader.
    """
    files = [reader for reader in readers if isinstance(reader, FileReader)]
    if len(files) == len(readers) and len({reader.resize for reader in files}) == 1:
        every = [file for reader in files for file in reader.files]
        first = files[0]
        kept = first.kept if all(reader.kept is first.kept for reader in files) else None
        return FileReader(every, first.shape[:2], first.resize, first.shape[2], kept)
    return JoinedReader(readers, sizes)


def resized(images: np.ndarray, image_size: tuple[int, int] | None, resize: str, channels: int) -> np.ndarray:
    """Images in memory at another size, in that many channels: a gray one becomes three equal ones, three one gray.

    Args:
        images: Of type `uint8` and shape `(n, height, width, channels)`.
        image_size: `(height, width)`; None keeps the size.
        resize: How they are resized.
        channels: How many channels they are to have.

    Raises:
        DataError: If they have another number of channels, unless one and three become each other.
    """
    size = image_size or images.shape[1:3]
    if size == images.shape[1:3] and channels == images.shape[-1]:
        return images
    if size == images.shape[1:3] and (images.shape[-1], channels) == (1, 3):
        return np.repeat(images, 3, axis=-1)
    return np.stack(list(decoders(threads()).map(lambda image: fit_array(image, size, resize, channels), images)))


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """An array of `uint8` without values, which begins where TensorFlow can use it without a copy of it."""
    size = math.prod(shape)
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].reshape(shape)


def aligned_rows(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A copy of some images of type `uint8`, `aligned`."""
    out = aligned((len(rows), *images.shape[1:]))
    return np.take(images, rows, axis=0, out=out, mode="clip")  # with "raise" numpy would make a second copy


def fit_by(images: np.ndarray, image_size: tuple[int, int], resize: str) -> str | None:
    """How images in memory are resized to that size: `resize`, or None if every way gives the same pixels."""
    height, width = images.shape[1:3]
    return None if height * image_size[1] == width * image_size[0] else resize


@functools.cache
def decoders(workers: int) -> concurrent.futures.ThreadPoolExecutor:
    """The threads that decode batches, the same for all readers."""
    return concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="kertl-decode")
