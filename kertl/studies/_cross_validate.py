"""`cross_validate`: several trainings on one extraction, each judged on images that it was not given."""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.metrics import balanced_accuracy_score

from kertl._checks import complain, integer
from kertl.data import ImageData, balanced_weights, effective_weights, one_hot
from kertl.features import extract, feature_batches
from kertl.groups import find_chain
from kertl.heads import Head
from kertl.recipe import Stage
from kertl.studies._cross_validation import CrossValidation, Fold
from kertl.studies._folds import folds_of
from kertl.studies._trainee import Trainee, with_head

_STAGE = Stage("deep", epochs=20, learning_rate=3e-3, augment="none")

# What goes with a stage of `fine_tune` alone, which has images, a validation part and stages before it.
_ALONE = (
    "cutmix",
    "patience_epochs",
    "layer_decay",
    "ema",
    "until_below_validation",
    "l2_sp",
    "image_size",
    "batch_size",
)


def cross_validate(
    model: keras.Model,
    data: ImageData,
    *,
    folds: int = 5,
    stage: Stage = _STAGE,
    head: Head | None = None,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> CrossValidation:
    """Train as many times as there are folds, each time without one fold of the images, which then judges it.

    The frozen prefix runs once over the training and the validation part; the test part is not touched. Each class is
    spread evenly over the folds; equal images and those of one group (`group_column` of `kertl.data.from_csv`) are
    in one fold. Each training begins at the pretrained weights and with a newly drawn head, goes through all epochs,
    and is judged as it is at the end: a fold chooses nothing that it judges. Training k (from 0) draws its head, order
    and dropout from `seed + k`.

    Args:
        model: A backbone or a classifier; it is not changed.
        data: Images with one class each.
        folds: Number of folds; >= 2, and at most the number of images of the smallest class.
        stage: The boundary, and how to train behind it; by default the head alone, for 20 epochs. Features are of
            images as they are, so that `augment` must be "none" and `cutmix` 0; and `patience_epochs` must be None.
        head: The head; by default a classifier's own, or `kertl.Head()` on a backbone.
        seed: Of folds, heads, order and dropout; >= 0.
        cache_dir: Where features are kept, as in `kertl.extract`.

    Raises:
        ValueError: If an argument is outside its range, there is no such boundary, nothing is frozen in front of it, or
            images have no single class each.
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
        Bengio & Grandvalet, "No unbiased estimator of the variance of k-fold cross-validation", 2004, for what the
        standard deviation is not.
    """
    _check(data, folds, stage, seed)
    parts = [part for part in (data.train, data.validation) if part is not None]
    labels, fold_of = folds_of(data, folds, seed)
    whole = with_head(model, data, head)
    if find_chain(whole).first_trained(stage.at) == 0:
        raise complain("stage", "one with a boundary behind which something is left frozen", stage.at)
    start = time.perf_counter()
    extracted = [extract(whole, part, at=stage.at, cache_dir=cache_dir) for part in parts]
    values = keras.tree.map_structure(_joined, *[features.values for features in extracted])
    targets = np.concatenate([np.asarray(part.labels) for part in parts])
    if stage.mixup and data.task == "single_label":
        targets = one_hot(targets, data.num_classes)
    extraction_seconds = time.perf_counter() - start
    start = time.perf_counter()
    trainee = Trainee(whole, stage, data)
    predictions = np.empty((len(labels), data.num_classes), np.float32)
    found = []
    for number in range(folds):
        given, judged = np.flatnonzero(fold_of != number), np.flatnonzero(fold_of == number)
        batches = feature_batches(
            values,
            targets,
            data.batch_size,
            seed + number,
            rows=given,
            mixup=stage.mixup,
            weights=_class_weights(labels, given, stage.class_weights) if stage.class_weights else None,
        )
        if stage.oversample:
            batches = batches.oversampled(labels[given])
        trainee.train(batches, seed + number)
        predictions[judged] = trainee.probabilities(values, judged)
        found.append(_judge(number, len(given), labels[judged], predictions[judged]))
    return CrossValidation(
        folds=tuple(found),
        files=tuple(file for part in parts for file in part.files),
        labels=labels,
        fold_of=fold_of,
        predictions=predictions,
        class_names=tuple(data.class_names),
        extraction_seconds=extraction_seconds,
        training_seconds=time.perf_counter() - start,
    )


def _check(data: ImageData, folds: int, stage: Stage, seed: int) -> None:
    integer("folds", folds, at_least=2)
    integer("seed", seed, at_least=0)
    if not isinstance(data, ImageData):
        raise complain("data", "what `kertl.data.from_directory`, `from_csv` or `from_arrays` gives", data)
    if not isinstance(stage, Stage) or stage.augment != "none":
        raise complain("stage", "a kertl.Stage with augment='none'", stage)
    if not isinstance(stage.learning_rate, (int, float)):
        raise complain("stage", "a kertl.Stage with one number as learning_rate", stage)
    for name in _ALONE:
        if getattr(stage, name) != getattr(Stage, name):
            accepted = f"a kertl.Stage with {name}={getattr(Stage, name)!r}, since folds share their features"
            raise complain("stage", accepted, stage)


def _joined(*arrays: Any) -> np.ndarray:
    """The rows of several arrays in one that is in memory."""
    return np.concatenate([np.asarray(array) for array in arrays])


def _class_weights(labels: np.ndarray, given: np.ndarray, kind: bool | str) -> np.ndarray:
    """A weight for each row, that of its class by the numbers of those given."""
    counts = np.bincount(labels[given], minlength=labels.max() + 1)
    return (effective_weights(counts) if kind == "effective" else balanced_weights(counts))[labels].astype(np.float32)


def _judge(number: int, trained_on: int, labels: np.ndarray, probabilities: np.ndarray) -> Fold:
    answers = probabilities.argmax(axis=1)
    likelihood = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1)
    return Fold(
        number=number,
        trained_on=trained_on,
        judged_on=len(labels),
        accuracy=float(np.mean(answers == labels)),
        balanced_accuracy=float(balanced_accuracy_score(labels, answers)),
        crossentropy=float(-np.log(likelihood).mean()),
    )
