"""Pixels of files that were decoded, by their check or their first use, so that they are not decoded again."""

import itertools

import numpy as np

from kertl._memory import free_memory

_MOST = 2**30  # bytes
_SHARE = 0.125  # of the free memory
_LEAST_SIDE = 48


class KeptPixels:
    """The images of a check in the form in which they will be read, as many as fit into their share of memory.

    They take an eighth of the memory that is free, 1 GiB at most; images beyond that are decoded at each use. Memory is
    taken as they come.

    Args:
        count: How many images there may be.
        image_size: `(height, width)` of each.
        resize: How they are resized, see `kertl.data.read_image`.
        channels: Channels of each.
    """

    def __init__(self, count: int, image_size: tuple[int, int], resize: str, channels: int) -> None:
        height, width = image_size
        room = min(_MOST, int(free_memory() * _SHARE)) // (height * width * channels)
        self.resize = resize
        self.shape = (height, width, channels)
        self._images = np.empty((min(count, room), *self.shape), np.uint8)
        self._next = itertools.count()
        self._places: dict[str, int] = {}

    def put(self, path: str, pixels: np.ndarray) -> None:
        """Keep the pixels of a file, if there is room; threads may do so at the same time."""
        place = next(self._next)
        if place < len(self._images):
            self._images[place] = pixels
            self._places[path] = place

    def get(self, path: str) -> np.ndarray | None:
        """The pixels of a file; None if they were not kept."""
        place = self._places.get(path)
        return None if place is None else self._images[place]

    def fits(self, shape: tuple[int, ...], resize: str) -> bool:
        """Whether images of that shape, resized in that way, are these."""
        return (self.shape, self.resize) == (tuple(shape), resize)


def room_for(count: int, image_size: tuple[int, int], resize: str, channels: int) -> KeptPixels | None:
    """Room for the pixels of a check; None where the check decodes something else.

    Of images with alpha it takes the picture on white, and of those that will be small it decodes more than is needed,
    to see which are alike.
    """
    if channels not in (1, 3) or min(image_size) < _LEAST_SIDE:
        return None
    return KeptPixels(count, image_size, resize, channels)
