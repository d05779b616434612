"""`calibrate`: are predicted probabilities as often right as they say?"""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich import box
from rich.table import Table
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, softmax

from kertl._checks import complain
from kertl._terminal import counted
from kertl.data import ImageData, check_image_data
from kertl.evaluation import predict
from kertl.evaluation._labels import matched
from kertl.groups import functional_of
from kertl.interpretation._drawing import draw_reliability
from kertl.model import count_trained_on, model_info, output_layer, set_model_info, task_of
from kertl.results import Result, table_text
from kertl.tasks import Task, both_classes, task_named

_logger = logging.getLogger(__name__)

BINS = 10
_LEAST = 1e-7
_ABOUT_RIGHT = 0.1
_FEW = 200  # predictions, below which a temperature and a bin say little
_RANGE = (-3.0, 3.0)  # logarithms of the temperatures that are tried


@dataclasses.dataclass(frozen=True)
class Bin:
    """Predictions of about equal confidence."""

    confidence: float
    """Mean predicted probability."""
    accuracy: float
    """Share of them that are right."""
    images: int
    """How many there are; with several labels, how many single predictions."""


@dataclasses.dataclass(frozen=True, repr=False)
class Calibration(Result):
    """How well predicted probabilities agree with how often they are right.

    Attributes:
        error: Expected calibration error: the mean difference between confidence and accuracy over ten bins of equal
            width, weighted by their images; 0 is perfect.
        bins: The bins that are not empty, from low to high confidence. Where each image has one class, the confidence
            is the probability of the likeliest class; with several labels, of each of them.
        temperature: By what the scores before the softmax or sigmoid have to be divided to fit best; above 1 the model
            is too sure of itself, below 1 not enough. None if nothing was fitted.
        error_after: The error with that temperature.
        applied: Whether the scores of the model are divided by it from now on, as `kertl.calibrate` does.
    """

    error: float
    bins: tuple[Bin, ...]
    temperature: float | None = None
    error_after: float | None = None
    applied: bool = False

    def table(self) -> str:
        """The bins as text, and what they come to."""
        table = Table(box=box.SIMPLE)
        for heading in ("confidence", "right", "predictions"):
            table.add_column(heading, justify="right")
        for one in self.bins:
            table.add_row(f"{one.confidence:.3f}", f"{one.accuracy:.3f}", str(one.images))
        return table_text(table) + f"{self.sentence()}\n"

    def sentence(self) -> str:
        """What it comes to."""
        count = sum(one.images for one in self.bins)
        few = ", too few to be sure of" if count < _FEW else ""
        told = f"Expected calibration error {self.error:.4f} on {counted(count, 'prediction')}{few}"
        if self.temperature is None or self.error_after is None:
            return f"{told}."
        kind = "too sure of itself" if self.temperature > 1 else "not as sure as it could be"
        if abs(self.temperature - 1) < _ABOUT_RIGHT:
            kind = "about as sure as it should be"
        changed = (
            "Its scores are divided by that temperature now; `kertl.save` keeps that."
            if self.applied
            else "It is unchanged; `kertl.calibrate` divides its scores by that temperature."
        )
        return (
            f"{told}; {self.error_after:.4f} at the temperature that fits the validation set, {self.temperature:.2f}: "
            f"the model is {kind}. {changed}"
        )

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the share of right predictions against their confidence.

        Args:
            path: A picture file to write; its suffix decides the format.

        Returns:
            The matplotlib figure.
        """
        return draw_reliability(self, path)


def calibrate(model: keras.Model, data: ImageData) -> Calibration:
    """Divide the scores of a classifier by the temperature that fits the validation set best, in place.

    The last Dense layer is divided, so the model stays as it is otherwise: the likeliest class of each image is the
    same, and so is what reaches a threshold, since thresholds are moved along. `kertl.save` it afterwards.

    Args:
        model: A classifier that ends in a Dense layer.
        data: Data with a validation set that the model was not trained on.

    Returns:
        The calibration of the validation set before, with the temperature and the error after.

    Raises:
        TypeError: If the model is subclassed or not built.
        ValueError: If the task has no probabilities, the model does not end in a Dense layer, or there is no validation
            set.

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", 2017. https://arxiv.org/abs/1706.04599
    """
    functional_of(model, pictures=True)
    check_image_data(data)
    task = task_named(task_of(model, data.task))
    last = output_layer(model)
    if task.activation == "linear":
        raise complain("model", "a classifier, which predicts probabilities", model.name)
    if last is None or not last.dense.use_bias:
        raise complain("model", "one that ends in a Dense layer with a bias, whose scores can be divided", model.name)
    if data.validation is None:
        raise complain("data", "data with a validation set, on which the temperature is chosen", data)
    if count := count_trained_on(model, data.validation):
        _logger.warning(
            "%r was trained on %d of the %d validation images, which say too little about how sure it may be.",
            model.name,
            count,
            data.validation.num_examples,
        )
    labelled = matched(model, data.validation)
    said = predict(model, data.validation)
    temperature = best_temperature(task, np.asarray(labelled.labels), said)
    found = calibration_of(task, np.asarray(labelled.labels), said, temperature)
    for variable in (last.dense.kernel, last.dense.bias):
        variable.assign(keras.ops.convert_to_numpy(variable) / temperature)
    info = model_info(model)
    if info is not None and info.thresholds:
        moved = tuple(float(expit(logit(one) / temperature)) for one in info.thresholds)
        set_model_info(model, dataclasses.replace(info, thresholds=moved))
    return dataclasses.replace(found, applied=True)


def calibration_of(
    task: Task, truth: np.ndarray, predictions: np.ndarray, temperature: float | None = None
) -> Calibration:
    """The calibration of predictions, and the error that a temperature, found on other images, leaves."""
    error, bins = _bins(*_confidences(task, truth, predictions))
    if temperature is None:
        return Calibration(error, bins)
    return Calibration(
        error, bins, temperature, _bins(*_confidences(task, truth, _at(task, predictions, temperature)))[0]
    )


def best_temperature(task: Task, truth: np.ndarray, predictions: np.ndarray) -> float:
    """The temperature with the lowest mean loss."""

    def loss(logarithm: float) -> float:
        return float(task.image_losses(truth, _at(task, predictions, np.exp(logarithm))).mean())

    return float(np.exp(minimize_scalar(loss, bounds=_RANGE, method="bounded").x))


def _at(task: Task, predictions: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities as they are if the scores before the activation are divided."""
    said = np.clip(np.asarray(predictions, np.float64), _LEAST, 1 - _LEAST)
    if task.activation == "softmax":
        return np.asarray(softmax(np.log(said) / temperature, axis=1))
    return np.asarray(expit(logit(said) / temperature))


def _confidences(task: Task, truth: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The confidence of each prediction, and whether it is right."""
    if not task.one_class:
        return predictions.ravel(), (truth > 0).ravel()
    members = task.members(truth, max(2, predictions.shape[1]))
    assert members is not None
    by_class = both_classes(predictions)
    chosen = by_class.argmax(axis=1)
    rows = np.arange(len(chosen))
    return by_class[rows, chosen], members[rows, chosen]


def _bins(confidences: np.ndarray, right: np.ndarray) -> tuple[float, tuple[Bin, ...]]:
    places = np.minimum((confidences * BINS).astype(np.int64), BINS - 1)
    bins = tuple(
        Bin(float(confidences[inside].mean()), float(right[inside].mean()), int(inside.sum()))
        for inside in (places == place for place in range(BINS))
        if inside.any()
    )
    error = sum(one.images * abs(one.confidence - one.accuracy) for one in bins) / len(confidences)
    return float(error), bins
