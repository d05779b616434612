"""The features that a stage trains on where they are kept, and the choice to keep them."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kertl.data import ImageData, ImageDataset
from kertl.features import FeatureBatches, Features, all_versions, extract, judged_batches, plan, training_batches
from kertl.groups import find_chain
from kertl.hardware import replicas
from kertl.model import cut
from kertl.recipe import Recipe
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
    train = training_batches(all_versions(trained, in_memory), data, stage)

    def batches_of(part: ImageDataset) -> FeatureBatches:
        return judged_batches(all_versions(features_of(part, 0), in_memory), part)

    judged = None if data.validation is None else batches_of(data.validation)
    return Kept(data, suffix, train, judged, batches_of)
