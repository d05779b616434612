"""The best of a run's stages: a later one that ends worse does not replace it."""

import logging
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kertl.data import ImageData, ImageDataset
from kertl.recipe import Recipe, Stage
from kertl.runner._run import StageValue
from kertl.tasks import loss_named, task_named

_logger = logging.getLogger(__name__)

PLAIN_LOSS = "val_loss without smoothing and penalties"
"""What stages that monitor different losses are compared by."""


class BestStage:
    """Keeps the weights of the stage with the best value, and is saved in the checkpoints like a callback.

    Without a validation set there is nothing to compare stages by, and the last one stays; so does one that trains for
    8 bits, which is made for the export and not to be better in float.

    Attributes:
        values: How the stages ended.
        best: Which of the stages is the best so far; None before the first has ended.

    Args:
        model: The whole model.
        recipe: Its stages.
        data: The data they are compared on.
    """

    def __init__(self, model: keras.Model, recipe: Recipe, data: ImageData) -> None:
        self._data = data
        penalised = any(variable.regularizer is not None for variable in model.trainable_variables)
        alike = len({_judging(stage, penalised) for stage in recipe.stages}) == 1
        self._by_loss = alike and not any(stage.l2_sp for stage in recipe.stages)
        self.values: list[StageValue] = []
        self.best: int | None = None
        self._weights: list[np.ndarray] = []
        self._variables = list(model.weights)  # without the factors that a stage may add for a while

    @property
    def metric(self) -> str:
        """What stages are compared by: the monitored metric if it is the same for all, else the plain loss."""
        return "val_loss" if self._by_loss else PLAIN_LOSS

    def offer(
        self,
        number: int,
        stage: Stage,
        monitored: float | None,
        predict: Callable[[ImageDataset], np.ndarray] | None,
    ) -> None:
        """Keep the model's present weights if they are the best so far.

        Args:
            number: The stage that has ended, counted from 0.
            stage: The stage.
            monitored: The best value of what it monitored.
            predict: Gives the model's predictions for images; None where there is no time to ask for them.
        """
        value = None
        if self._data.validation is not None and self._by_loss:
            value = monitored
        elif self._data.validation is not None and predict is not None:
            value = plain_loss(self._data, self._data.validation, predict(self._data.validation))
        finite = value is not None and math.isfinite(value)
        ended = StageValue(number, stage.at, self.metric, float(value) if finite else None)  # type: ignore[arg-type]
        best = None if self.best is None else self.values[self.best].value
        self.values.append(ended)
        if best is None or stage.quantize or (ended.value is not None and ended.value < best):
            self.best, self._weights = number, self._now()

    def restore(self, *, told: bool = True) -> None:
        """Give the model the weights of the best stage, and log it if that is not the last and it is to be told."""
        if self.best is None:
            return
        later = self.values[self.best + 1 :]
        if later:
            for variable, value in zip(self._variables, self._weights, strict=True):
                variable.assign(value)
        if later and told:
            ends = "; ".join(map(str, later))
            _logger.warning("The run gives its best: %s. After it, %s.", self.values[self.best], ends)

    def get_state(self) -> dict[str, Any]:
        """The state; of the weights only those that differ from the model's present ones."""
        now = self._now()
        differing = {
            str(place): value for place, value in enumerate(self._weights) if value.tobytes() != now[place].tobytes()
        }
        values = [[one.stage, one.at, one.metric, one.value] for one in self.values]
        return {"values": values, "best": self.best, "weights": differing}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` gave; the model must have the weights that it had at that time."""
        self.values = [StageValue(*one) for one in state["values"]]
        self.best, self._weights = state["best"], []
        if self.best is not None:
            self._weights = self._now()
            for place, value in state["weights"].items():
                self._weights[int(place)] = value

    def _now(self) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in self._variables]


def plain_loss(data: ImageData, part: ImageDataset, predictions: np.ndarray) -> float:
    """The loss of the task on some images, without smoothing or penalties."""
    scaling = data.target_scaling
    loss = loss_named(task_named(data.task), "auto", spreads=scaling and scaling[1])
    return float(keras.ops.convert_to_numpy(loss(np.asarray(part.labels), predictions)))


def _judging(stage: Stage, penalised: bool) -> tuple[Any, ...]:
    """What a stage's validation loss depends on beside the weights.

    Keras adds the penalties of what trains, so that where layers have some each boundary has another loss.
    """
    return stage.loss, stage.label_smoothing, stage.image_size, stage.at if penalised else ""
