"""What a compiled stage is fitted on: images, or features that are cached."""

from typing import Any, Protocol

import keras

from kertl.callbacks import DataEpoch
from kertl.data import Epochs, MixedBatches, data_errors
from kertl.data._tf_batches import fit_input
from kertl.features import EpochFitter, FeatureBatches, judged_batches, training_batches
from kertl.recipe import Stage
from kertl.training._given import Given
from kertl.training._pool import Values


class Material(Protocol):
    """What a compiled model is fitted on."""

    train: Epochs
    """The batches that it trains on."""
    class_weight: dict[int, float] | None
    """The weight of each class in the loss, where the batches have none of their own."""
    steps: int
    """How often an epoch calls back with the end of a batch."""

    def fit(self, first_batch: int, **options: Any) -> None:
        """Call `fit`; an epoch that was interrupted is finished from a later batch on."""


class OnImages:
    """Training on images.

    Args:
        model: The compiled model.
        given: The images, as the stage has them.
        stage: The stage, which says how classes are weighted and images mixed.
        judged_at_once: The most images of the validation set in a batch; None for as many as in training.
    """

    def __init__(self, model: keras.Model, given: Given, stage: Stage, judged_at_once: int | None = None) -> None:
        data = given.data
        self._model, self._data = model, data
        self._validation = data.validation
        if data.validation is not None and judged_at_once is not None:
            self._validation = data.validation.changed(batch_size=judged_at_once)
        self.class_weight = data.weights_by_class(stage.class_weights) if stage.class_weights else None
        self.train: Epochs = data.train
        if stage.mixup or stage.cutmix:
            classes = data.num_classes if data.task == "single_label" else None
            self.train = MixedBatches(data.train, stage.mixup, stage.cutmix, classes, self.class_weight)
            self.class_weight = None
        self.steps = len(data.train)

    def fit(self, first_batch: int, **options: Any) -> None:
        """Call `fit`."""
        options["callbacks"] = [DataEpoch(self.train), *options["callbacks"]]
        with data_errors(self._data.train, self._data.validation):
            self._model.fit(
                fit_input(_from(self.train, options["initial_epoch"], first_batch)),
                validation_data=fit_input(self._validation),
                class_weight=self.class_weight,
                shuffle=False,  # the data set has its own order
                **options,
            )


class _InEpochs:
    """Training on what is in memory, a whole epoch per call where possible.

    Args:
        fitter: The fitter of the compiled model.
        train: The training set, with its weights in the loss.
        validation: What to evaluate on.
    """

    def __init__(self, fitter: EpochFitter, train: FeatureBatches, validation: FeatureBatches | None) -> None:
        self._fitter, self.train, self.validation = fitter, train, validation
        self.class_weight: dict[int, float] | None = None  # the batches have their own weights
        self.steps = 1 if fitter.whole_epochs(train) else len(train)

    def fit(self, first_batch: int, **options: Any) -> None:
        """Call `fit`."""
        if not first_batch:
            self._fitter.fit(self.train, self.validation, **options)
            return
        rest = _from(self.train, options["initial_epoch"], first_batch)
        self._fitter.model.fit(rest, validation_data=self.validation, shuffle=False, **options)


class OnFeatures(_InEpochs):
    """Training on cached features."""

    @classmethod
    def of(cls, fitter: EpochFitter, pool: Values, given: Given, stage: Stage, in_memory: bool | None) -> "OnFeatures":
        """The features of the images that a stage is given."""
        data, source = given.data, given.pool or given.data.train
        values = pool.values(stage, source, views=stage.views, in_memory=in_memory)
        train = training_batches(values, data, stage, given.rows)
        if data.validation is None or given.judges is None:
            return cls(fitter, train, None)
        plain = pool.values(stage, given.judges, in_memory=in_memory)
        return cls(fitter, train, judged_batches(plain, data.validation, given.judged))


class OnHeldImages(_InEpochs):
    """Training on images that an accelerator holds."""


class OnBatches:
    """Training on batches of another kind, such as those of two domains, without validation.

    Args:
        model: The compiled model.
        train: The batches.
    """

    def __init__(self, model: keras.Model, train: Epochs) -> None:
        self._model, self.train = model, train
        self.class_weight: dict[int, float] | None = None
        self.steps = len(train)

    def fit(self, first_batch: int, **options: Any) -> None:
        """Call `fit`."""
        options["callbacks"] = [DataEpoch(self.train), *options["callbacks"]]
        rest = _from(self.train, options["initial_epoch"], first_batch)
        self._model.fit(rest, shuffle=False, **options)


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
