"""Features as they are returned: all of them as arrays, or those of some images at a time."""

from typing import Any, Protocol

import numpy as np

from kertl._checks import complain
from kertl.errors import ArgumentError, PositionError
from kertl.features._choice import Choice
from kertl.features._layout import DTYPES, Layout
from kertl.features._store import Rows


class View(Protocol):
    """The features of all images in one version, in memory or in files."""

    layout: Layout

    def __len__(self) -> int:
        """Number of images."""

    def take(self, images: np.ndarray) -> Any:
        """The features of the images given by number: an array, or a list of them."""

    @property
    def values(self) -> Any:
        """All features: something like an array, or a list of them."""


class InMemory:
    """Features in memory."""

    def __init__(self, layout: Layout, count: int) -> None:
        self.layout = layout
        self._arrays = [np.empty((count, *shape), DTYPES[layout.dtype]) for shape in layout.shapes]

    def __len__(self) -> int:
        return len(self._arrays[0])

    def put(self, images: np.ndarray, rows: np.ndarray) -> None:
        """Store the rows of the images given by number."""
        parts = self.layout.unpack(rows)
        for array, part in zip(self._arrays, parts if isinstance(parts, list) else [parts], strict=True):
            array[images] = part

    def take(self, images: np.ndarray) -> Any:
        return _alone([array[images] for array in self._arrays])

    @property
    def values(self) -> Any:
        return _alone(self._arrays)


class OnDisk:
    """Features in files, of which only the requested rows are read."""

    def __init__(self, rows: Rows) -> None:
        self.layout, self._rows = rows.layout, rows

    def __len__(self) -> int:
        return len(self._rows.files)

    def take(self, images: np.ndarray) -> Any:
        return self.layout.unpack(self._rows.take(images))

    @property
    def values(self) -> Any:
        return _alone([FileArray(self, part) for part in range(len(self.layout.shapes))])


class FileArray:
    """One tensor of all images, like an array along its first axis: indexing reads, `np.asarray` reads all of it."""

    def __init__(self, view: OnDisk, part: int) -> None:
        self._view, self._part = view, part
        self.shape = (len(view), *view.layout.shapes[part])
        self.ndim = len(self.shape)
        self.dtype = DTYPES[view.layout.dtype]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        first, *others = index if isinstance(index, tuple) else (index,)
        images = np.arange(len(self))[first]
        taken = self._view.take(np.atleast_1d(images))
        part = taken[self._part] if isinstance(taken, list) else taken
        return part[(slice(None) if images.ndim else 0, *others)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ArgumentError(
                "`copy` must be True or None: features in files are always copied. Received: copy=False."
            )
        return np.asarray(self[:], dtype)

    def __repr__(self) -> str:
        return f"FileArray(shape={self.shape}, dtype={self.dtype})"


class Features:
    """The features that a prefix computed from images, in the data's own order (not shuffled).

    Attributes:
        labels: The labels, as the data has them, or None.
        at: The boundary.
        views: How many augmented versions of each image there are; 0 for the unchanged image alone.
        engine: The engine that computed them, "keras" or "openvino".
        reason: Why this engine was chosen.
    """

    def __init__(
        self, versions: list[View], choice: Choice, labels: np.ndarray | None, *, at: str | int, views: int
    ) -> None:
        self._versions = versions
        self.labels, self.at, self.views = labels, at, views
        self.engine, self.reason = choice.name, choice.reason

    def __len__(self) -> int:
        return len(self._versions[0])

    @property
    def values(self) -> Any:
        """Features of shape `(images, ...)`, like an array; a list of two if two tensors cross the boundary."""
        return self.view(0)

    def view(self, number: int) -> Any:
        """The features of an augmented version of the images; those of version 0 are `values`."""
        return self._version(number).values

    def take(self, rows: Any, view: int = 0) -> Any:
        """The features of some images as real arrays; only these are read if they are on disk.

        Args:
            rows: Numbers of the images, in any order, of shape `(n,)`.
            view: Which augmented version.

        Returns:
            Array of shape `(n, ...)`; a list of two if two tensors cross the boundary.

        Raises:
            IndexError: If there is no such image or version.
        """
        numbers = np.asarray(rows)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise complain("rows", "a list of numbers of images", rows)
        if len(numbers) and not (numbers.min() >= 0 and numbers.max() < len(self)):
            raise PositionError(
                f"`rows` must be from 0 to {len(self) - 1}. Received: {numbers.min()} to {numbers.max()}."
            )
        return self._version(view).take(numbers)

    def _version(self, number: int) -> View:
        if not 0 <= number < len(self._versions):
            raise PositionError(
                f"`view` must be at least 0 and below {len(self._versions)}. Received: view={number!r}. "
                "Extract with more `views`."
            )
        return self._versions[number]

    def __repr__(self) -> str:
        values = self.values
        shapes = [part.shape for part in values] if isinstance(values, list) else values.shape
        return f"Features(shape={shapes}, at={self.at!r}, views={self.views}, engine={self.engine!r})"


def _alone(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
