"""Batches from elsewhere: a `tf.data.Dataset` or a `keras.utils.PyDataset`."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kertl._checks import complain
from kertl.data._pixels import array_of, images_of


def is_py_dataset(data: Any) -> bool:
    """Whether these are the batches of a `keras.utils.PyDataset`; Keras is not imported for it."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(data, keras.utils.PyDataset)


class ForeignBatches:
    """Batches of images, with or without labels, read in one pass, since a second one may have another order.

    Args:
        source: The dataset; it must end.
        fitted: Makes a batch of images what the model takes.

    Attributes:
        class_names: The classes in the order of the dataset's class ids, where it says so, as those of
            `keras.utils.image_dataset_from_directory` do; else None.

    Raises:
        ValueError: If the dataset has no end.
    """

    def __init__(self, source: Any, fitted: Callable[[np.ndarray], np.ndarray]) -> None:
        self._source, self._fitted = source, fitted
        names = getattr(source, "class_names", None)
        self.class_names: list[str] | None = list(names) if names else None
        endless = source.num_batches is None if self._is_py_dataset else int(source.cardinality()) == -1
        if endless:
            raise complain("data", "a dataset that ends", source, "Take as many batches of it as you need.")

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """Images and labels, batch by batch; None if there are no labels."""
        for batch in self._batches():
            images, labels, *_ = (*batch, None) if isinstance(batch, tuple | list) else (batch, None)
            images = images_of("data", images)
            if images.ndim != 4:
                advice = "Batch it with `.batch(32)`." if images.ndim == 3 else ""
                accepted = "batches of images of shape (batch, height, width, channels)"
                raise complain("data", accepted, images.shape, advice)
            yield self._fitted(images), None if labels is None else array_of("data", labels)

    @property
    def labels(self) -> np.ndarray | None:
        """All labels in the order of the batches; None if there are none."""
        found = [labels for _, labels in self if labels is not None]
        return np.concatenate(found) if found else None

    @property
    def _is_py_dataset(self) -> bool:
        return is_py_dataset(self._source)

    def _batches(self) -> Iterable[Any]:
        if self._is_py_dataset:
            return (self._source[index] for index in range(self._source.num_batches))
        return iter(self._source.as_numpy_iterator())
