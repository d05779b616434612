"""`cross_validate`: several trainings on one extraction, each evaluated on images that it did not see."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.metrics import balanced_accuracy_score

from kertl._checks import integer
from kertl._terminal import told
from kertl.data import ImageData, check_image_data, joined
from kertl.groups import drawing_from
from kertl.hardware import scope_of
from kertl.heads import Head
from kertl.model import flags_kept
from kertl.range_test import suggested_rate
from kertl.recipe import Recipe, Stage, recipe_of
from kertl.studies._cross_validation import CrossValidation, Fold
from kertl.studies._folds import folds_of
from kertl.training import FeaturePool, Given, Learner, Trainee, refuse_other_heads, refuse_unsupported, with_head

_logger = logging.getLogger(__name__)

_STAGE = Stage("deep", epochs=20, learning_rate=3e-3, augment="none")


def cross_validate(
    model: keras.Model,
    data: ImageData,
    *,
    folds: int = 5,
    recipe: Recipe | Stage | str = _STAGE,
    head: Head | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> CrossValidation:
    """Train as many times as there are folds, each time without one fold, and evaluate on that fold.

    Each training does what `kertl.fine_tune` does with the same recipe on the same images, without a validation set: a
    held-out fold does not choose what it evaluates. The frozen prefix runs once over the training and the validation
    set, for all folds; the test set is not used. Folds are stratified by class; equal images and those of one group
    (`group_column` of `kertl.data.from_csv`) are in one fold. Each training begins at the pretrained weights and with a
    newly drawn head. Training k (from 0) draws its head, order and dropout from `seed + k`.

    Args:
        model: A backbone or a classifier; it is not changed.
        data: Images with one class each.
        folds: Number of folds; >= 2, and at most the number of images of the smallest class.
        recipe: What to train: a `kertl.Recipe`, one `kertl.Stage`, or the name of a recipe ("deep", "mid", "full",
            "gradual"); by default the head alone, for 20 epochs. Its seed does not matter.
        head: The head; by default a classifier's own, or `kertl.Head()` on a backbone.
        seed: Seed of folds, heads, order, dropout and augmentation; >= 0.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Raises:
        ValueError: If an argument is outside its range, there is no such boundary, a stage has a field that folds do
            not support, or images do not have one class each.
        DataError: If a class has fewer images than there are folds.
        DivergedError: If a loss became NaN or infinite.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> backbone = kertl.load_backbone("MobileNetV2", weights=None, input_shape=(32, 32, 3))
        >>> found = kertl.cross_validate(backbone, data, folds=3)
        >>> len(found.folds), found.predictions.shape
        (3, (18, 2))

    Reference:
        Kohavi, "A study of cross-validation and bootstrap for accuracy estimation and model selection", 1995.
        Bengio & Grandvalet, "No unbiased estimator of the variance of k-fold cross-validation", 2004, for the limits of
            the standard deviation.
    """
    recipe = recipe_of(recipe)
    _check(data, folds, recipe, seed)
    images = joined([part for part in (data.train, data.validation) if part is not None])
    labels, fold_of = folds_of(data, folds, seed)
    learner = Learner.of(with_head(model, data, head), data.task)
    for stage in recipe.stages:
        refuse_other_heads(learner.chain, stage, learner.task)
    start = time.perf_counter()
    pool = FeaturePool(learner, seed=seed, precision=recipe.precision, cache_dir=cache_dir)
    with told(), scope_of(model), flags_kept(learner.model), drawing_from(seed):
        trainee = Trainee(learner, recipe, pool, head_seed=seed, find_rate=suggested_rate)
        givens = [Given.fold(data, images, fold_of, number, seed + number) for number in range(folds)]
        trainee.prepare(givens[0])
        extraction_seconds = time.perf_counter() - start
        start = time.perf_counter()
        predictions = np.empty((len(labels), data.num_classes), np.float32)
        found = []
        for number, given in enumerate(givens):
            trainee.begin(head_seed=seed + number)
            rows = trainee.run(given, seed=seed + number)
            judged = np.flatnonzero(fold_of == number)
            predictions[judged] = _by_class(trainee.predict(images.subset(judged, shuffle=False)), data)
            fold = _judge(number, len(images.files) - len(judged), labels[judged], predictions[judged], rows)
            _logger.info("Fold %d of %d: accuracy %.4f on %d images.", number + 1, folds, fold.accuracy, len(judged))
            found.append(fold)
    return CrossValidation(
        folds=tuple(found),
        files=tuple(images.files),
        labels=labels,
        fold_of=fold_of,
        predictions=predictions,
        class_names=tuple(data.class_names),
        extraction_seconds=extraction_seconds,
        training_seconds=time.perf_counter() - start,
    )


def _check(data: ImageData, folds: int, recipe: Recipe, seed: int) -> None:
    integer("folds", folds, at_least=2)
    integer("seed", seed, at_least=0)
    check_image_data(data)
    refuse_unsupported(recipe, "cross_validate")


def _by_class(predictions: np.ndarray, data: ImageData) -> np.ndarray:
    """The probability of each class, shape `(images, classes)`."""
    if data.task == "binary":
        return np.column_stack([1 - predictions[:, 0], predictions[:, 0]])
    return predictions


def _judge(
    number: int, trained_on: int, labels: np.ndarray, probabilities: np.ndarray, rows: Sequence[dict[str, Any]]
) -> Fold:
    answers = probabilities.argmax(axis=1)
    likelihood = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1)
    return Fold(
        number=number,
        trained_on=trained_on,
        judged_on=len(labels),
        accuracy=float(np.mean(answers == labels)),
        balanced_accuracy=float(balanced_accuracy_score(labels, answers)),
        crossentropy=float(-np.log(likelihood).mean()),
        history=tuple(rows),
    )
