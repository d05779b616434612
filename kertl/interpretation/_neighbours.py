"""Images that look alike to the model: the nearest training images, and near-duplicates across the split."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from kertl.data import ImageDataset
from kertl.features import extract
from kertl.probes import Standardiser

ALIKE = 0.97
"""Cosine of standardised features from which on two images count as near-duplicates."""
_BLOCK = 512


def vectors_of(
    model: keras.Model, parts: Mapping[str, ImageDataset], cache_dir: str | Path | None
) -> dict[str, np.ndarray]:
    """The features that the head takes, a row per image in data order, by part.

    Maps and tokens are averaged, and each feature is standardised over the images of all parts.
    """
    rows = np.concatenate([pooled_features(model, images, cache_dir) for images in parts.values()])
    rows = Standardiser(rows)(rows)
    ends = np.cumsum([images.num_examples for images in parts.values()])[:-1]
    return dict(zip(parts, np.split(rows, ends), strict=True))


def pooled_features(model: keras.Model, images: ImageDataset, cache_dir: str | Path | None) -> np.ndarray:
    """The features that the head takes, shape `(n, features)`, in data order; maps and tokens are averaged."""
    values = np.asarray(extract(model, images.in_order(), at="deep", cache_dir=cache_dir).values, np.float32)
    return values.mean(axis=tuple(range(1, values.ndim - 1))) if values.ndim > 2 else values


class Neighbours:
    """Images to look among, such as those of the training set.

    Args:
        vectors: What `vectors_of` gives of them, shape `(n, features)`.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        self._rows = _unit(vectors)

    def nearest(self, vectors: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest images of each of some others: their places, the nearest first, and the cosines.

        Both of shape `(n, k)`, where k is `most` or the number of images there are.
        """
        places, cosines = [], []
        most = min(most, len(self._rows))
        for start in range(0, len(vectors), _BLOCK):
            alike = _unit(vectors[start : start + _BLOCK]) @ self._rows.T
            best = np.argpartition(-alike, most - 1, axis=1)[:, :most]
            order = np.argsort(-np.take_along_axis(alike, best, axis=1), axis=1, kind="stable")
            best = np.take_along_axis(best, order, axis=1)
            places.append(best)
            cosines.append(np.take_along_axis(alike, best, axis=1))
        return np.concatenate(places), np.concatenate(cosines)


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
