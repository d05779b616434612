"""`tune_thresholds`: the probability from which on a class counts as predicted."""

import dataclasses
import logging
from typing import TYPE_CHECKING

import numpy as np

import kertl
from kertl._checks import complain
from kertl.evaluation._form import check_asked
from kertl.evaluation._labels import checked_predictions, matched
from kertl.evaluation._predict import predict
from kertl.model import DEFAULT_THRESHOLD, ModelInfo, count_trained_on, model_info, set_model_info, task_of
from kertl.tasks import task_named

if TYPE_CHECKING:
    import keras

    from kertl.data import ImageData

_logger = logging.getLogger(__name__)


def tune_thresholds(
    model: "keras.Model", data: "ImageData", *, predictions: np.ndarray | None = None
) -> dict[str, float]:
    """Choose for each class the probability from which on it counts as predicted, and note it in the model.

    The threshold with the highest F1 on the validation set is taken, in the middle between two probabilities that occur
    there; among equals the one nearest to 0.5. A class without a positive image there keeps 0.5. The test set is never
    used. On a small validation set the choice is uncertain, and the metrics of `kertl.evaluate` on that set are too
    good afterwards.

    `kertl.answers` and `kertl.evaluate` use these thresholds, and `kertl.save` stores them. `kertl.fine_tune` calls
    this at its end.

    Args:
        model: A model for "binary" or "multi_label".
        data: Data with a validation set, whose classes are among the model's by name, in any order.
        predictions: The result of `kertl.predict` for the validation set, if you have it already.

    Returns:
        The threshold of each class by name; for "binary" only that of the second class.

    Raises:
        DataError: If the data have a class that the model does not know, or are of another task.
        ValueError: If the task has no thresholds, or there is no validation set.

    Reference:
        Lipton, Elkan & Naryanaswamy, "Optimal Thresholding of Classifiers to Maximize F1 Measure", 2014.
        https://arxiv.org/abs/1402.1892
    """
    from kertl.data import check_image_data

    check_asked(model)
    check_image_data(data)
    task = task_named(task_of(model, data.task))
    if not task.has_thresholds:
        advice = f"Its task is {task.name!r}."
        raise complain("model", "for 'binary' or 'multi_label', which have thresholds", model, advice)
    if data.validation is None:
        raise complain("data", "data with a validation set, on which the thresholds are chosen", data)
    labelled = matched(model, data.validation)
    truth, names = np.asarray(labelled.labels), labelled.class_names
    probabilities = predict(model, data.validation) if predictions is None else predictions
    probabilities = checked_predictions(model, probabilities, len(truth))
    if count := count_trained_on(model, data.validation):
        _logger.warning(
            "The thresholds are chosen on %d validation images, %d of which %r was trained on: on new ones, the best "
            "thresholds may be others.",
            data.validation.num_examples,
            count,
            model.name,
        )
    chosen = [best_threshold(truth[:, k] > 0, probabilities[:, k]) for k in range(truth.shape[1])]
    info = model_info(model) or ModelInfo(task.name, tuple(names), model.name, kertl.__version__)
    set_model_info(model, dataclasses.replace(info, thresholds=tuple(chosen)))
    return task.by_threshold(names, chosen)


def thresholds_of(model: "keras.Model", outputs: int) -> np.ndarray:
    """The threshold of each output; 0.5 if none was chosen."""
    info = model_info(model)
    return np.array(info.thresholds if info is not None and info.thresholds else [DEFAULT_THRESHOLD] * outputs)


def best_threshold(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the highest F1, `2 tp / (2 tp + fp + fn)`; 0.5 if nothing is positive."""
    if not truth.any():
        return DEFAULT_THRESHOLD
    levels, places = np.unique(probabilities.astype(np.float64), return_inverse=True)
    middles = (np.concatenate([[0.0], levels[:-1]]) + levels) / 2
    answered = np.bincount(places)[::-1].cumsum()[::-1]
    hits = np.bincount(places, weights=truth)[::-1].cumsum()[::-1]
    f1 = 2 * hits / (answered + truth.sum())
    best = middles[f1 == f1.max()]
    return float(best[np.abs(best - DEFAULT_THRESHOLD).argmin()])
