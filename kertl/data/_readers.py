"""Where the pixels of a batch come from: files, or memory.

A reader has a `shape`, that of one image, and `take(rows)`, which gives those images as one `uint8` array.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from kertl.data._decode import Stamp, as_rgb, fit, pixels_of, read_file
from kertl.data._scan import threads
from kertl.errors import DataError


class Reader(Protocol):
    """What an `ImageDataset` reads images from."""

    shape: tuple[int, int, int]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`, of shape `(len(rows), height, width, 3)`."""

    def at_size(self, image_size: tuple[int, int]) -> "Reader":
        """A reader of the same images at another size."""


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
        """The content, which must be what it was; a file that was only touched or copied anew is the same."""
        try:
            content, stamp = read_file(self.path)
        except DataError as error:
            raise DataError(f"{error}; it could be read when the data set was made") from error
        if stamp != self.stamp and hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError("was changed after the data set was made from it; make the data set anew")
        return content


class FileReader:
    """Images decoded from files each time, several at once."""

    def __init__(self, files: Sequence[KnownFile], image_size: tuple[int, int], resize: str) -> None:
        self.files = list(files)
        self.shape = (*image_size, 3)
        self.resize = resize

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        images = np.empty((len(rows), *self.shape), np.uint8)

        def fill(places: range) -> None:
            for place in places:
                images[place] = self._pixels(self.files[rows[place]])

        workers = threads()
        for _ in _pool(workers).map(fill, (range(start, len(rows), workers) for start in range(workers))):
            pass
        return images

    def at_size(self, image_size: tuple[int, int]) -> "FileReader":
        """A reader of the same files at another size."""
        return FileReader(self.files, image_size, self.resize)

    def _pixels(self, file: KnownFile) -> np.ndarray:
        try:
            return pixels_of(file.read(), self.shape[:2], self.resize)
        except DataError as error:
            raise DataError(f"The image {file.path!r} {error}.") from error


class ArrayReader:
    """Images that are in memory at their final size."""

    def __init__(self, images: np.ndarray, resize: str = "stretch") -> None:
        self.images = images
        self.shape = images.shape[1:]
        self.resize = resize

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        return self.images[rows]

    def at_size(self, image_size: tuple[int, int]) -> "ArrayReader":
        """The same images at another size."""
        return ArrayReader(resized(self.images, image_size, self.resize), self.resize)


class MemoryReader:
    """The images of another reader, each read once and then kept.

    Threads that ask for an image at the same time write the same pixels, and its mark is set after them; so no lock.
    """

    def __init__(self, reader: Reader, size: int) -> None:
        self.reader = reader
        self.shape = reader.shape
        self.images = np.empty((size, *reader.shape), np.uint8)
        self.known = np.zeros(size, bool)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        missing = rows[~self.known[rows]]
        if len(missing):
            self.images[missing] = self.reader.take(missing)
            self.known[missing] = True
        return self.images[rows]

    def at_size(self, image_size: tuple[int, int]) -> "MemoryReader":
        """A reader of the same images at another size, which keeps those."""
        return MemoryReader(self.reader.at_size(image_size), len(self.known))


def resized(images: np.ndarray, image_size: tuple[int, int], resize: str) -> np.ndarray:
    """Images in memory at another size; gray ones become three equal channels."""

    def one(image: np.ndarray) -> np.ndarray:
        return as_rgb(fit(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), image_size, resize))

    return np.stack(list(_pool(threads()).map(one, images)))


@functools.cache
def _pool(workers: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="kertl-decode")
