"""The features that a stage trains on where they are kept, and the choice to keep them."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kertl.data import ImageData, ImageDataset, one_hot
from kertl.features import FeatureBatches, Features, extract, plan
from kertl.groups import find_chain
from kertl.hardware import replicas
from kertl.model import cut
from kertl.recipe import Recipe, Stage
from kertl.runner._journal import Journal

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Kept:
    """What takes the place of images and model in a stage whose frozen part has been run already."""

    data: ImageData
    """The images."""
    suffix: keras.Model
    """The model that trains: the whole model's own layers behind the boundary."""
    train: FeatureBatches
    """Features of the training images, with their weights in the loss."""
    validation: FeatureBatches | None
    """Features of the validation images."""
    batches_of: Callable[[ImageDataset], FeatureBatches]
    """Features of other images, as they are."""

    def predict(self, part: ImageDataset) -> np.ndarray:
        """What the model says about images, in data order, from their features."""
        judged = self.data.validation
        asked = self.validation if judged is not None and part.files == judged.files else self.batches_of(part)
        return np.asarray(self.suffix.predict(asked, verbose=0))


class _Versions(FeatureBatches):
    """Feature batches with several augmented versions of each image one after the other, another one each epoch."""

    def order(self, epoch: int) -> np.ndarray:
        """The examples in the order of an epoch, as indices into all versions."""
        versions = len(self.labels) // self.num_examples
        return super().order(epoch) + epoch % versions * self.num_examples


class _OneAfterTheOther:
    """The versions of features in files as if they were one array, which is read batch by batch."""

    def __init__(self, features: Features) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features) * max(1, self._features.views)

    def __getitem__(self, rows: np.ndarray) -> Any:
        view = int(rows[0]) // len(self._features)  # the rows of a batch are of one version
        return self._features.take(rows % len(self._features), view)


def kept(model: keras.Model, data: ImageData, recipe: Recipe, number: int, journal: Journal) -> Kept | None:
    """The features that a stage trains on; None if it trains on images.

    What is chosen is written down before it is acted on, and a run that goes on keeps to it.

    Raises:
        ValueError: If the stage asks for features to be kept and they cannot be.
    """
    stage = recipe.stages[number]
    chain = find_chain(model)
    first = chain.first_trained(stage.at)
    live = stage.cache is False or stage.cutmix > 0  # which pastes pieces of images
    if first == 0 or live or (replicas() > 1 and stage.cache == "auto"):
        return None
    prefix, suffix = cut(chain, first)
    choice: dict[str, Any] = journal.choices.get(str(number), {})
    if not choice:
        sums = plan(
            prefix,
            suffix,
            data.train.num_examples + (data.validation.num_examples if data.validation else 0),
            (*data.image_size, 3),
            epochs=stage.epochs,
            views=stage.views,
            augmented=stage.augment != "none",
            cache=stage.cache,
            cache_dir=journal.features_dir,
        )
        for line in sums.lines():
            _logger.info(line)
        choice = {"features": sums.choice, "files": sums.fits_on_disk, "reason": sums.reason, "engine": "auto"}
        journal.choose(number, choice)
    if choice["features"] == "live":
        return None

    def features_of(images: ImageDataset, views: int) -> Features:
        return extract(
            model,
            images,
            at=stage.at,
            augment=stage.augment if views else "none",
            views=views,
            seed=recipe.seed,
            engine=choice["engine"],
            precision=recipe.precision,
            cache_dir=journal.features_dir if choice["files"] else None,
        )

    trained = features_of(data.train, stage.views)
    if choice["engine"] == "auto":
        choice = {**choice, "engine": trained.engine, "engine_reason": trained.reason}
        journal.choose(number, choice)
    in_memory = choice["features"] == "memory"
    labels = np.asarray(data.train.labels)
    if stage.mixup and data.task == "single_label":
        labels = one_hot(labels, data.num_classes)
    train = _batches(trained, data.train, labels, _weights(data, stage), in_memory, stage.mixup)
    if data.train.balance is not None:
        train = train.oversampled(data.train.balance)

    def batches_of(part: ImageDataset) -> FeatureBatches:
        return _batches(features_of(part, 0), part.in_order(), np.asarray(part.labels), None, in_memory)

    judged = None if data.validation is None else batches_of(data.validation)
    return Kept(data, suffix, train, judged, batches_of)


def _batches(
    features: Features,
    images: ImageDataset,
    labels: np.ndarray,
    weights: np.ndarray | None,
    in_memory: bool,
    mixup: float = 0.0,
) -> FeatureBatches:
    versions = range(max(1, features.views))

    def repeated(array: Any) -> Any:
        return None if array is None else np.concatenate([array for _ in versions])

    def joined(*parts: Any) -> np.ndarray:
        return np.concatenate([np.asarray(part) for part in parts])

    return _Versions(
        keras.tree.map_structure(joined, *map(features.view, versions)) if in_memory else _OneAfterTheOther(features),
        repeated(labels),
        repeated(weights),
        np.arange(len(features)),
        images.batch_size,
        images.seed,
        images.shuffle,
        mixup,
    )


def _weights(data: ImageData, stage: Stage) -> np.ndarray | None:
    """The weight of each training image in the loss, which is that of its class."""
    if not stage.class_weights:
        return None
    by_class = data.weights_by_class(stage.class_weights)
    labels: Sequence[int] = np.asarray(data.train.labels).astype(np.int64).ravel().tolist()
    return np.array([by_class[label] for label in labels], np.float32)
