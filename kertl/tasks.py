"""What a model is asked: the output activation, the loss and the metrics that belong together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kertl._checks import number, one_of


@keras.saving.register_keras_serializable(package="kertl")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of probabilities with label smoothing, for labels as class ids or as one row per example.

    With smoothing s and k classes, the target of the right class is `1 - s + s / k` and that of the others `s / k`.

    Args:
        smoothing: s; 0 <= smoothing < 1.

    Raises:
        ValueError: If `smoothing` is out of range.

    Example:
        >>> import numpy as np
        >>> from kertl.tasks import SmoothedCrossentropy
        >>> round(float(SmoothedCrossentropy(0.0)(np.array([1]), np.array([[0.25, 0.75]]))), 4)
        0.2877

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7. https://arxiv.org/abs/1512.00567
    """

    def __init__(self, smoothing: float = 0.0, name: str = "crossentropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.smoothing = number("smoothing", smoothing, at_least=0, below=1)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss per example, shape `(batch,)`."""
        if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
            ids = keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,))
            y_true = keras.ops.one_hot(ids, y_pred.shape[-1], dtype=y_pred.dtype)
        return keras.losses.categorical_crossentropy(y_true, y_pred, label_smoothing=self.smoothing)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "smoothing": self.smoothing}


@dataclass(frozen=True)
class Task:
    """One kind of question, and what a model needs to answer it.

    Attributes:
        name: "single_label", "multi_label" or "regression".
        activation: Of the last layer.
        loss: Makes the loss from the amount of label smoothing.
        metrics: Makes the metrics, named as they appear in the history.
    """

    name: str
    activation: str
    loss: Callable[[float], keras.losses.Loss]
    metrics: Callable[[], list[keras.metrics.Metric]]


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "single_label",
            "softmax",
            SmoothedCrossentropy,
            lambda: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        ),
        Task(
            "multi_label",
            "sigmoid",
            lambda smoothing: keras.losses.BinaryCrossentropy(label_smoothing=smoothing),
            lambda: [keras.metrics.BinaryAccuracy(name="accuracy")],
        ),
        Task(
            "regression",
            "linear",
            lambda smoothing: keras.losses.MeanSquaredError(),
            lambda: [keras.metrics.MeanAbsoluteError(name="mae")],
        ),
    )
}


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: If there is none.
    """
    return TASKS[one_of("task", name, TASKS)]
