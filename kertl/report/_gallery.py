"""The training images of a run that resemble what its model is asked about."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl.data import ImageDataset
from kertl.errors import DataError
from kertl.evaluation import matched
from kertl.interpretation import Neighbours, pooled_features
from kertl.model import split
from kertl.probes import Standardiser
from kertl.report._thumbnails import thumbnail
from kertl.tasks import task_named

MOST_SEARCHED = 20_000
"""Training images that are looked among, at most: their features stay in memory."""
_SHOWN = 3


class Gallery:
    """Finds the training images nearest to an image, by the features that the head takes.

    Args:
        model: The model.
        images: Its training images, which are only ever shown as thumbnails.
        cache_dir: Where their features are cached, as in `kertl.extract`; what is there is not computed again.
    """

    def __init__(self, model: keras.Model, images: ImageDataset, cache_dir: str | Path | None = None) -> None:
        self._images = matched(model, images.in_order())
        rows = pooled_features(model, self._images, cache_dir)
        self._standardised = Standardiser(rows)
        self._neighbours = Neighbours(self._standardised(rows))
        self._prefix, _ = split(model, "deep")
        self._prefix.predict_on_batch(np.zeros((1, *self._prefix.input_shape[1:]), "float32"))  # compiles
        root = os.path.commonpath([os.path.dirname(file) for file in self._images.files])  # noqa: PTH120
        self._names = [os.path.relpath(file, root) for file in self._images.files]

    def nearest(self, image: np.ndarray) -> list[dict[str, Any]]:
        """The nearest training images: file, label, cosine of the features, and a thumbnail if the file is unchanged.

        Args:
            image: Shape `(height, width, channels)`, as the model takes it.
        """
        values = np.asarray(self._prefix.predict_on_batch(image[None]), np.float32)
        row = values.mean(axis=tuple(range(1, values.ndim - 1))) if values.ndim > 2 else values
        places, cosines = self._neighbours.nearest(self._standardised(row), _SHOWN)
        task, labels = task_named(self._images.task), np.asarray(self._images.labels)
        return [
            {
                "file": self._names[place],
                "label": task.label_text(labels[place], self._images.class_names),
                "similarity": round(float(cosine), 4),
                "picture": self._picture(place),
            }
            for place, cosine in zip(places[0].tolist(), cosines[0], strict=True)
        ]

    def _picture(self, place: int) -> str | None:
        try:
            return thumbnail(self._images.reader.take(np.array([place]))[0])
        except DataError:  # moved, changed or deleted since
            return None
