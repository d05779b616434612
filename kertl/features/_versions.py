"""What a stage trains on when features are cached: their versions, labels and weights in batches."""

from typing import Any

import keras
import numpy as np

from kertl.data import ImageData, ImageDataset, one_hot
from kertl.features._batches import FeatureBatches, feature_batches
from kertl.features._features import Features
from kertl.features._room import MEMORY_SHARE, free_memory
from kertl.hardware import fits_on_device, on_accelerator
from kertl.recipe import Stage


class _OneAfterTheOther:
    """The versions of features in files, presented as one array that is read batch by batch."""

    def __init__(self, features: Features) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features) * max(1, self._features.views)

    def __getitem__(self, rows: np.ndarray) -> Any:
        view = int(rows[0]) // len(self._features)  # the rows of a batch are of one version
        return self._features.take(rows % len(self._features), view)


def all_versions(features: Features, in_memory: bool | None = None) -> Any:
    """All versions one after the other, `views` times as many rows as images, for the functions below.

    Args:
        features: The features from `extract`.
        in_memory: Whether they become arrays in memory; None decides: if they take at most half of what is free.
    """
    versions = range(max(1, features.views))
    if in_memory is None:
        arrays = keras.tree.flatten(features.values)
        needed = sum(4 * int(np.prod(array.shape)) for array in arrays) * len(versions)
        in_memory = needed <= free_memory() * MEMORY_SHARE
    if not in_memory:
        return _OneAfterTheOther(features)
    if len(versions) == 1:
        return keras.tree.map_structure(np.asarray, features.values)
    return keras.tree.map_structure(_joined, *map(features.view, versions))


def training_batches(values: Any, data: ImageData, stage: Stage, rows: np.ndarray | None = None) -> FeatureBatches:
    """The training set as a stage trains on it, with its labels, class weights, MixUp and oversampling.

    Args:
        values: The versions, from `all_versions`, of the features of `data.train` or of more images.
        data: The images; batches have the same size as theirs.
        stage: The stage.
        rows: Which of the images in `values` are those of `data.train`; None if there are no others.
    """
    labels = np.asarray(data.train.labels)
    if stage.mixup and data.task == "single_label":
        labels = one_hot(labels, data.num_classes)
    weights = class_weights(data, stage, np.asarray(data.train.labels))
    batches = _batches(values, data.train, labels, weights, stage.views, stage.mixup, rows)
    balance = data.train.balance
    return batches if balance is None else batches.oversampled(balance)


def judged_batches(values: Any, part: ImageDataset, rows: np.ndarray | None = None) -> FeatureBatches:
    """Images that are only evaluated, in data order; `rows` as above."""
    return _batches(values, part.in_order(), np.asarray(part.labels), None, 0, 0.0, rows)


def image_batches(data: ImageData, stage: Stage) -> tuple[FeatureBatches, FeatureBatches | None] | None:
    """The images of the training and the validation set as such batches, if JAX can hold them on an accelerator.

    None elsewhere, if they are not in memory, or if a stage mixes them.
    """
    if keras.backend.backend() != "jax" or not on_accelerator() or stage.mixup or stage.cutmix:
        return None
    held = data.train.reader.held()
    if held is None or not fits_on_device(held.images.nbytes):
        return None
    if data.validation is not None and data.validation.reader.held() is None:
        return None
    labels = np.asarray(data.train.labels)
    images, rows = _all(data.train)
    train = _batches(images, data.train, labels, class_weights(data, stage, labels), 0, 0.0, rows)
    train = train if data.train.balance is None else train.oversampled(data.train.balance)
    if data.validation is None:
        return train, None
    images, rows = _all(data.validation)
    return train, judged_batches(images, data.validation, rows)


def _all(part: ImageDataset) -> tuple[np.ndarray, np.ndarray]:
    """The array that holds the images of a data set in memory, and where in it they are."""
    held = part.reader.held()
    assert held is not None
    held.fill(held.places)
    return held.images, held.places


def _batches(
    values: Any,
    images: ImageDataset,
    labels: np.ndarray,
    weights: np.ndarray | None,
    views: int,
    mixup: float,
    rows: np.ndarray | None,
) -> FeatureBatches:
    versions = max(1, views)
    count = len(keras.tree.flatten(values)[0]) // versions

    def placed(array: np.ndarray) -> np.ndarray:
        """The values of the rows in their positions, and zeros elsewhere."""
        if rows is None:
            return array
        found = np.zeros((count, *array.shape[1:]), array.dtype)
        found[rows] = array
        return found

    return feature_batches(
        values,
        placed(labels),
        images.batch_size,
        images.seed,
        weights=None if weights is None else placed(weights),
        shuffle=images.shuffle,
        rows=rows,
        mixup=mixup,
        versions=versions,
    )


def _joined(*parts: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part) for part in parts])


def class_weights(data: ImageData, stage: Stage, labels: np.ndarray) -> np.ndarray | None:
    """The weight in the loss of images with these labels, which is the weight of their class; None if all are equal."""
    if not stage.class_weights:
        return None
    by_class = data.weights_by_class(stage.class_weights)
    return np.array([by_class[label] for label in labels.astype(np.int64).ravel().tolist()], np.float32)
