"""What a stage is fitted on: images, or features that are kept."""

from typing import Any, Protocol

import keras

from kertl.callbacks import DataEpoch
from kertl.data import Epochs, ImageData, MixedBatches
from kertl.features import EpochFitter
from kertl.recipe import Stage
from kertl.runner._kept import Kept


class Material(Protocol):
    """What a compiled model is fitted on."""

    steps: int
    """How often an epoch calls back with the end of a batch."""

    def fit(self, first_batch: int, **options: Any) -> None:
        """Call `fit`; where an epoch is finished that was broken off, from a later batch on."""


class OnImages:
    """Training on images.

    Args:
        training: The compiled model.
        data: The images.
        stage: How classes count, and how images are mixed.
    """

    def __init__(self, training: keras.Model, data: ImageData, stage: Stage) -> None:
        self._training, self._data = training, data
        self._weights = data.weights_by_class(stage.class_weights) if stage.class_weights else None
        self._train: Epochs = data.train
        if stage.mixup or stage.cutmix:
            classes = data.num_classes if data.task == "single_label" else None
            self._train = MixedBatches(data.train, stage.mixup, stage.cutmix, classes, self._weights)
            self._weights = None
        self.steps = len(data.train)

    def fit(self, first_batch: int, **options: Any) -> None:
        """Call `fit`."""
        options["callbacks"] = [DataEpoch(self._train), *options["callbacks"]]
        self._training.fit(
            _from(self._train, options["initial_epoch"], first_batch),
            validation_data=self._data.validation,
            class_weight=self._weights,
            shuffle=False,  # the data set has an order of its own
            **options,
        )


class OnFeatures:
    """Training on features, a whole epoch per call where that can be.

    Args:
        training: The compiled model.
        kept: The features.
    """

    def __init__(self, training: keras.Model, kept: Kept) -> None:
        self._training, self._kept, self._fitter = training, kept, EpochFitter(training)
        self.steps = 1 if self._fitter.whole_epochs(kept.train) else len(kept.train)

    def fit(self, first_batch: int, **options: Any) -> None:
        """Call `fit`."""
        if not first_batch:
            self._fitter.fit(self._kept.train, self._kept.validation, **options)
            return
        rest = _from(self._kept.train, options["initial_epoch"], first_batch)
        self._training.fit(rest, validation_data=self._kept.validation, shuffle=False, **options)


class _Rest(keras.utils.PyDataset):
    """The batches of one epoch from a certain one on."""

    def __init__(self, dataset: Epochs, epoch: int, first: int) -> None:
        super().__init__()
        self._dataset, self._epoch, self._first = dataset, epoch, first

    def __len__(self) -> int:
        return len(self._dataset) - self._first

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._dataset.batch(self._epoch, self._first + index)


def _from(dataset: Epochs, epoch: int, first: int) -> keras.utils.PyDataset:
    return _Rest(dataset, epoch, first) if first else dataset
