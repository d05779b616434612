"""What a trial's stages are trained on, and the training of one of them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from kertl.callbacks import EpochSeeds, StopOnDivergence
from kertl.data import ImageData, balanced_weights, data_errors, effective_weights, one_hot
from kertl.features import EpochFitter, FeatureBatches, feature_batches, judged_batches, training_batches
from kertl.recipe import Stage
from kertl.runner import OnImages
from kertl.search._shared import Shared
from kertl.search._trial_model import set_length
from kertl.studies import folds_of

# The batches of one training and those that judge it.
Batches = tuple[FeatureBatches, FeatureBatches]


def parts(shared: Shared, backbone: str, pooling: str, stage: Stage, data: ImageData) -> list[Batches]:
    """Features of the training part and of the validation part."""
    given = shared.values(backbone, pooling, stage, [data.train], views=stage.views)
    train = training_batches(given, data, stage)
    judges = [part for part in (data.validation,) if part is not None]
    return [(train, judged_batches(shared.values(backbone, pooling, stage, [part]), part)) for part in judges]


def folds(
    shared: Shared, backbone: str, pooling: str, stage: Stage, data: ImageData, count: int, seed: int
) -> list[Batches]:
    """Features of the training and the validation part, without each fold and, of the plain images, of that fold."""
    found = [part for part in (data.train, data.validation) if part is not None]
    plain = shared.values(backbone, pooling, stage, found)
    values = shared.values(backbone, pooling, stage, found, views=stage.views) if stage.views else plain
    labels, fold_of = folds_of(data, count, seed)
    targets = np.concatenate([np.asarray(part.labels) for part in found])
    mixable = one_hot(targets, data.num_classes) if stage.mixup and data.task == "single_label" else targets
    pairs = []
    for number in range(count):
        given, judged = np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number)
        weights = None
        if stage.class_weights:
            counts = np.bincount(labels[given], minlength=data.num_classes)
            by_class = effective_weights(counts) if stage.class_weights == "effective" else balanced_weights(counts)
            weights = by_class[labels].astype(np.float32)
        train = feature_batches(
            values,
            mixable,
            data.batch_size,
            seed,
            rows=given,
            weights=weights,
            mixup=stage.mixup,
            versions=max(1, stage.views),
        )
        train = train.oversampled(labels[given]) if stage.oversample else train
        pairs.append((train, feature_batches(plain, targets, data.batch_size, seed, rows=judged, shuffle=False)))
    return pairs


@contextlib.contextmanager
def gradients_forgotten() -> Iterator[None]:
    """Let go of what is trained meanwhile, which TensorFlow would keep for ever, graph, weights and all.

    The sum over replicas in Keras' optimizers has a custom gradient, as `silu` has, and TensorFlow's registry of these
    keeps every one that was ever traced.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.framework.ops import gradient_registry

    before = set(gradient_registry.list())
    try:
        yield
    finally:
        for name in set(gradient_registry.list()) - before:
            if name.startswith("CustomGradient-"):
                getattr(gradient_registry, "_registry", {}).pop(name, None)


class Training:
    """The training of one stage, from its beginning as often as there are folds.

    Args:
        model: What trains, compiled for the stage.
        stage: The stage.
        data: The images, at its size and in its batches.
        pairs: What it trains on, one pair for each fold; None trains on the images.
        seed: Of dropout and augmentation.
    """

    def __init__(
        self, model: keras.Model, stage: Stage, data: ImageData, pairs: Sequence[Batches] | None, seed: int
    ) -> None:
        self._model, self._stage, self._data, self._pairs, self._seed = model, stage, data, pairs, seed
        self._steps = max(len(train) for train, _ in pairs) if pairs else len(data.train)
        optimizer = model.optimizer
        if not optimizer.built:  # one that a tuner put there
            optimizer.build(model.trainable_variables)
        self._start = [np.array(keras.ops.convert_to_numpy(variable)) for variable in optimizer.variables]
        self._fit = self._on_features(EpochFitter(model), pairs) if pairs else self._on_images

    def run(
        self, fold: int, epochs: int, *, initial_epoch: int = 0, callbacks: Sequence[Any] = (), verbose: Any = "auto"
    ) -> keras.callbacks.History:
        """Train from epoch `initial_epoch` to `epochs`, with a schedule that lasts for these.

        Raises:
            FailedTrialError: If the loss became NaN or infinite.
        """
        set_length(self._model, self._stage, self._steps * (epochs - initial_epoch))
        for variable, value in zip(self._model.optimizer.variables, self._start, strict=True):
            variable.assign(value)
        self._model.optimizer.iterations.assign(0)  # where a later round began with moments of the one before
        divergence = StopOnDivergence()
        self._fit(
            fold,
            epochs=epochs,
            initial_epoch=initial_epoch,
            callbacks=[EpochSeeds(self._seed), divergence, *callbacks],
            verbose=verbose,
        )
        if divergence.diverged_at is not None:
            raise keras_tuner.errors.FailedTrialError(
                f"The loss became NaN or infinite in epoch {divergence.diverged_at[0] + 1}, at a learning rate of up "
                f"to {self._stage.peak:.2g}."
            )
        return self._model.history

    @staticmethod
    def _on_features(fitter: EpochFitter, pairs: Sequence[Batches]) -> Callable[..., Any]:
        return lambda fold, **options: fitter.fit(*pairs[fold], **options)

    def _on_images(self, fold: int, **options: Any) -> None:
        with data_errors(self._data.train, self._data.validation):
            OnImages(self._model, self._data, self._stage).fit(0, **options)
