"""`cross_validate`: several trainings on one extraction, each evaluated on images that it did not see."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import LARGEST_SEED, check_cache_dir, integer
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
from kertl.tasks import Task, both_classes, task_named
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
    (`group_column` of `kertl.data.from_csv`) are in one fold. Several labels are divided evenly one by one, targets by
    their size. Where groups leave a fold without a class, the result says so (`absent`). Each training begins at the
    pretrained weights and with a newly drawn head. Training k (from 0) draws its head, order and dropout from
    `seed + k`.

    Args:
        model: A backbone or a classifier; it is not changed.
        data: The images, of any task.
        folds: Number of folds; >= 2, and at most the number of images of the smallest class.
        recipe: What to train: a `kertl.Recipe`, one `kertl.Stage`, or the name of a recipe ("deep", "mid", "full",
            "gradual"); by default the head alone, for 20 epochs; the result says if these were too few
            (`unfinished`), as often for "regression". Its seed does not matter.
        head: The head; by default a classifier's own, or `kertl.Head()` on a backbone.
        seed: Seed of folds, heads, order, dropout and augmentation; 0 <= seed <= 4,000,000,000.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Raises:
        ValueError: If an argument is outside its range, there is no such boundary, or a stage has a field that folds
            do not support.
        DataError: If a class has fewer images than there are folds, or groups leave a training without one.
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
    check_cache_dir(cache_dir)
    images = joined([part for part in (data.train, data.validation) if part is not None])
    labels, fold_of = folds_of(data, folds, seed)
    task = task_named(data.task)
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
        predictions: list[np.ndarray] = []
        found = []
        for number, given in enumerate(givens):
            trainee.begin(head_seed=seed + number)
            rows = trainee.run(given, seed=seed + number)
            judged = np.flatnonzero(fold_of == number)
            predictions.append(trainee.predict(images.subset(judged, shuffle=False)))
            metrics = _metrics(task, labels[judged], predictions[-1], data.class_names)
            found.append(Fold(number, len(labels) - len(judged), len(judged), metrics, tuple(rows)))
            told_metric = (task.score, metrics[task.score])
            _logger.info("Fold %d of %d: %s %.4f on %d images.", number + 1, folds, *told_metric, len(judged))
    out_of_fold = np.concatenate(predictions)[np.argsort(np.argsort(fold_of, kind="stable"))]
    result = CrossValidation(
        folds=tuple(found),
        files=tuple(images.files),
        labels=labels,
        fold_of=fold_of,
        predictions=both_classes(out_of_fold) if task.one_class else out_of_fold,
        class_names=tuple(data.class_names),
        extraction_seconds=extraction_seconds,
        training_seconds=time.perf_counter() - start,
        task=task.name,
    )
    if result.unfinished:
        _logger.warning("%s", result.unfinished)
    return result


def _check(data: ImageData, folds: int, recipe: Recipe, seed: int) -> None:
    integer("folds", folds, at_least=2)
    integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    check_image_data(data)
    refuse_unsupported(recipe, "cross_validate")


def _metrics(task: Task, truth: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """The metrics of a part, without those of single classes and what says nothing about the model."""
    found = task.judge(truth, predictions, names, np.full(predictions.shape[1], 0.5))
    return {
        name: value
        for name, value in found.items()
        if name not in ("images", "majority") and (value is None or isinstance(value, float))
    }
