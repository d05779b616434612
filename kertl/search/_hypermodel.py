"""`TransferHyperModel`: the choices of transfer learning in KerasTuner's terms, on features extracted once."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

from kertl._checks import LARGEST_SEED, complain, integer
from kertl.data import ImageData, check_image_data, joined
from kertl.groups import drawing_from
from kertl.model import flags_kept
from kertl.range_test import suggested_rate
from kertl.search._candidate import SPREAD, Candidate
from kertl.search._shared import PooledFeatures, Shared
from kertl.search._space import default_space
from kertl.search._trial import Trial, gradients_forgotten, trial_of
from kertl.studies import folds_of
from kertl.training import Given, Trainee, refuse_unsupported


class TransferHyperModel(keras_tuner.HyperModel):
    """What to train of a backbone, with which head and how fast, for any tuner of KerasTuner.

    `build` gives a compiled model, and `fit` supplies its data: features, which are extracted once for each backbone,
    boundary, size and augmentation and shared by all trials, or the images if nothing is cached. So
    `tuner.search(epochs=10)` needs no data. A trial trains exactly as `kertl.fine_tune` does with the same recipe, to
    the last digit. Stages before the last are trained before the `fit` that the tuner sees; the schedule of the last
    lasts for the epochs of that `fit`. A tuner's later round (Hyperband's) loads the weights of the earlier one and
    continues the last stage, with a schedule for the remaining epochs.

    Each trial draws its head, order and dropout from the same seed, so that trials differ only in what is searched.

    Args:
        backbones: Names for `kertl.load_backbone`, and Keras models, which keep their own names; no trial changes them.
        data: The images, with a validation set, or with `folds`.
        space: A function of KerasTuner's `HyperParameters` and the names of the backbones that gives a
            `kertl.search.Candidate`.
        weights: Weights of the backbones given by name, as in `kertl.load_backbone`.
        folds: Above 1, each trial is trained this many times without one fold of the training and the validation set,
            as in `kertl.cross_validate`; `fit` then gives the mean of every metric at the end of the last epoch, and
            its standard deviation as `..._spread`. Callbacks watch the first of the trainings. None trains on the
            training set and evaluates on the validation set.
        seed: Seed of heads, order, dropout, folds and augmented versions; 0 <= seed <= 4,000,000,000.
        cache_dir: Where features are cached for other processes and later searches; None caches them in memory only.

    Raises:
        ValueError: If an argument is outside its range, there is no such backbone, or nothing to evaluate on.
        WeightsError: If the weights of a backbone are not available; all are loaded at the start.

    Example:
        >>> import keras_tuner, kertl, numpy as np
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> hypermodel = kertl.search.TransferHyperModel(["MobileNetV2"], data, weights=None)
        >>> hypermodel.build(keras_tuner.HyperParameters()).output_shape
        (None, 2)

    Reference:
        O'Malley et al., "KerasTuner", 2019. https://github.com/keras-team/keras-tuner
    """

    def __init__(
        self,
        backbones: Sequence[str | keras.Model],
        data: ImageData,
        *,
        space: Callable[[Any, Sequence[str]], Candidate] = default_space,
        weights: str | Path | None = "imagenet",
        folds: int | None = None,
        seed: int = 0,
        cache_dir: str | Path | None = None,
    ) -> None:
        super().__init__(name="transfer")
        check_image_data(data)
        if not callable(space):
            raise complain("space", "a function of hyperparameters and the names of the backbones", space)
        if folds is None and data.validation is None:
            raise complain("folds", "a whole number >= 2 where the data have no validation set", folds)
        if folds is not None:
            integer("folds", folds, at_least=2)
        integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
        self.data, self.space, self.folds, self.seed = data, space, folds, seed
        self._shared = Shared(backbones, data, weights, cache_dir, seed)

    @property
    def backbones(self) -> tuple[str, ...]:
        """The names of the backbones."""
        return self._shared.names

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each backbone's weights, by its name."""
        return self._shared.digests

    def candidate(self, hp: keras_tuner.HyperParameters) -> Candidate:
        """The candidate that the space makes from a trial's hyperparameters.

        Raises:
            TypeError: If it is not a `kertl.search.Candidate`; this ends a search.
        """
        found = self.space(hp, self.backbones)
        if not isinstance(found, Candidate):
            raise keras_tuner.errors.FatalTypeError(
                f"`space` must give a kertl.search.Candidate. Received: {found!r} from space={self.space!r}."
            )
        return found

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """The compiled model of a trial's last stage, which takes features if it trains on features."""
        return self._trial(self.candidate(hp)).model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Train a model that `build` made.

        Args:
            hp: The hyperparameters that it was built from.
            model: The model.
            *args: None: the data are those of this object.
            **kwargs: Of `keras.Model.fit`: epochs (by default those of the last stage), initial_epoch, callbacks,
                verbose.

        Returns:
            The history of the last stage; with folds, a mapping of metrics.

        Raises:
            ValueError: If other arguments are given, or an objective's direction is neither "min" nor "max"; this ends
                a search.
            FailedTrialError: If the loss became NaN or infinite.
        """
        other = set(kwargs) - {"epochs", "initial_epoch", "callbacks", "verbose"}
        if args or other:
            raise keras_tuner.errors.FatalValueError(
                "`search` must be given only epochs, callbacks and verbose, since the data are those of the "
                f"TransferHyperModel. Received: {[*map(type, args), *sorted(other)]}."
            )
        _check_direction(kwargs.get("callbacks") or ())
        begin = kwargs.pop("initial_epoch", 0)
        if self.folds and begin:
            raise keras_tuner.errors.FatalValueError(
                "`folds` must be None with a tuner whose later rounds continue with the weights of earlier ones. "
                f"Received: folds={self.folds} and initial_epoch={begin}."
            )
        trial = trial_of(model) or self._trial(self.candidate(hp))
        callbacks = kwargs.pop("callbacks", None) or ()
        epochs = kwargs.pop("epochs", trial.trainee.recipe.stages[-1].epochs)
        metrics = []
        with gradients_forgotten(), flags_kept(trial.source), drawing_from(self.seed):
            for fold, given in enumerate(self._givens):
                watching = callbacks if fold == 0 else ()
                history = trial.train(given, self.seed, begin, epochs, callbacks=watching, **kwargs)
                metrics.append({name: values[-1] for name, values in history.history.items()})
        return _means(metrics) if self.folds else history

    def _trial(self, candidate: Candidate) -> Trial:
        shared, head, recipe = self._shared, candidate.head, candidate.recipe
        refuse_unsupported(recipe, "a search")
        if self.folds:
            refuse_unsupported(recipe, "a search by folds")
        trainee = Trainee(
            shared.learner(candidate.backbone, head, self.seed),
            recipe,
            PooledFeatures(shared, candidate.backbone, head.only_pooling, recipe.precision),
            head_seed=None,
            find_rate=suggested_rate,
        )
        source = shared.pooled(candidate.backbone, head.only_pooling).model
        with flags_kept(source), drawing_from(self.seed):
            return Trial(trainee, source, self._givens[0])

    @functools.cached_property
    def _givens(self) -> list[Given]:
        """The images of each training."""
        if self.folds is None:
            return [Given(self.data)]
        images = joined([part for part in (self.data.train, self.data.validation) if part is not None])
        _, fold_of = folds_of(self.data, self.folds, self.seed)
        return [Given.fold(self.data, images, fold_of, number, self.seed) for number in range(self.folds)]


def _means(metrics: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of every metric over the folds, and its standard deviation with one degree of freedom less."""
    means = {}
    for name in metrics[0]:
        values = [one[name] for one in metrics]
        means[name], means[name + SPREAD] = float(np.mean(values)), float(np.std(values, ddof=1))
    return means


def _check_direction(callbacks: Sequence[Any]) -> None:
    """Reject an objective, which a tuner's callback knows, with a direction that KerasTuner does not understand."""
    for objective in (getattr(callback, "objective", None) for callback in callbacks):
        if getattr(objective, "direction", "min") not in ("min", "max"):
            accepted = "a keras_tuner.Objective with direction 'min' or 'max'"
            raise keras_tuner.errors.FatalValueError(str(complain("objective", accepted, str(objective))))
