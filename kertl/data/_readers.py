"""Where the pixels of a batch come from: files, or memory.

A reader has a `shape`, that of one image, and `take(rows)`, which gives those images as one `uint8` array.
"""

import concurrent.futures
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from kertl.data._decode import pixels
from kertl.data._scan import threads


class Reader(Protocol):
    """What an `ImageDataset` reads images from."""

    shape: tuple[int, int, int]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`, of shape `(len(rows), height, width, 3)`."""


class FileReader:
    """Images decoded from files each time, several at once."""

    def __init__(self, paths: Sequence[Path], image_size: tuple[int, int], resize: str) -> None:
        self.paths = list(paths)
        self.shape = (*image_size, 3)
        self.resize = resize

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        images = np.empty((len(rows), *self.shape), np.uint8)

        def fill(places: range) -> None:
            for place in places:
                images[place] = pixels(self.paths[rows[place]], self.shape[:2], self.resize)

        workers = threads()
        for _ in _pool(workers).map(fill, (range(start, len(rows), workers) for start in range(workers))):
            pass
        return images


class ArrayReader:
    """Images that are in memory at their final size."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images
        self.shape = images.shape[1:]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """The images `rows`."""
        return self.images[rows]


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


@functools.cache
def _pool(workers: int) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="kertl-decode")
