"""What a model is asked: the output activation, the loss and the metrics that belong together."""

from collections.abc import Callable, Sequence
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


@keras.saving.register_keras_serializable(package="kertl")
class StandardizedSquaredError(keras.losses.Loss):
    """Mean squared error with each target measured in units of its own spread.

    Per example `mean over t of ((y_t - p_t) / spread_t)^2`: 1 is what answering the mean of the targets scores, and a
    target in thousands counts no more than one in thousandths.

    Args:
        spreads: Standard deviation of each target, each > 0; or one number for all of them.

    Raises:
        ValueError: If a spread is not a number above 0.

    Example:
        >>> import numpy as np
        >>> from kertl.tasks import StandardizedSquaredError
        >>> loss = StandardizedSquaredError([10.0, 0.5])
        >>> float(loss(np.array([[100.0, 1.0]]), np.array([[110.0, 2.0]])))
        2.5
    """

    def __init__(self, spreads: float | Sequence[float] = 1.0, name: str = "squared_error", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        listed = [spreads] if isinstance(spreads, int | float) else list(spreads)
        self.spreads = [float(number("spreads", spread, above=0)) for spread in listed]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss per example, shape `(batch,)`."""
        y_pred = keras.ops.convert_to_tensor(y_pred)
        truth = keras.ops.reshape(keras.ops.cast(y_true, y_pred.dtype), keras.ops.shape(y_pred))
        spreads = keras.ops.convert_to_tensor(self.spreads, dtype=y_pred.dtype)
        return keras.ops.mean(keras.ops.square((y_pred - truth) / spreads), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "spreads": self.spreads}


@keras.saving.register_keras_serializable(package="kertl")
class LabelAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of right answers, for labels as class ids or as one row per example, whose greatest entry is the label.

    Example:
        >>> import numpy as np
        >>> from kertl.tasks import LabelAccuracy
        >>> accuracy = LabelAccuracy()
        >>> accuracy.update_state(np.array([[0.3, 0.7], [0.6, 0.4]]), np.array([[0.1, 0.9], [0.2, 0.8]]))
        >>> accuracy.update_state(np.array([1, 1]), np.array([[0.1, 0.9], [0.2, 0.8]]))
        >>> float(accuracy.result())
        0.75
    """

    def __init__(self, name: str = "accuracy", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Count the answers of a batch."""
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] != 1:
            y_true = keras.ops.argmax(y_true, axis=-1)
        return super().update_state(y_true, y_pred, sample_weight)


@dataclass(frozen=True)
class Task:
    """One kind of question, and what a model needs to answer it.

    Attributes:
        name: "single_label", "binary", "multi_label" or "regression".
        activation: Of the last layer.
        loss: Makes the loss from the amount of label smoothing; for regression, which has none, from the spread of
            the targets.
        metrics: Makes the metrics, named as they appear in the history.
        has_thresholds: Whether a probability has to reach a threshold to become an answer.
    """

    name: str
    activation: str
    loss: Callable[..., keras.losses.Loss]
    metrics: Callable[[], list[keras.metrics.Metric]]
    has_thresholds: bool = False

    def outputs(self, num_classes: int) -> int:
        """Number of outputs of a model for so many classes or targets: one for the two classes of "binary"."""
        return 1 if self.name == "binary" else num_classes


def _binary_crossentropy(smoothing: float, spreads: Sequence[float] | None = None) -> keras.losses.Loss:
    return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)


def _squared_error(smoothing: float, spreads: Sequence[float] | None = None) -> keras.losses.Loss:
    return StandardizedSquaredError(spreads or 1.0)


# R² is left to `kertl.evaluate`: Keras sums squares of the targets in float32, which for a target of 100,000 ± 1
# leaves nothing of it.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "single_label",
            "softmax",
            lambda smoothing, spreads=None: SmoothedCrossentropy(smoothing),
            lambda: [LabelAccuracy()],
        ),
        Task(
            "binary",
            "sigmoid",
            _binary_crossentropy,
            lambda: [keras.metrics.BinaryAccuracy(name="accuracy"), keras.metrics.AUC(name="auc")],
            has_thresholds=True,
        ),
        Task(
            "multi_label",
            "sigmoid",
            _binary_crossentropy,
            lambda: [
                keras.metrics.BinaryAccuracy(name="accuracy"),
                keras.metrics.AUC(name="auc"),
                keras.metrics.F1Score(average="macro", threshold=0.5, name="macro_f1"),
            ],
            has_thresholds=True,
        ),
        Task(
            "regression",
            "linear",
            _squared_error,
            lambda: [
                keras.metrics.MeanAbsoluteError(name="mae"),
                keras.metrics.RootMeanSquaredError(name="rmse"),
            ],
        ),
    )
}


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: If there is none.
    """
    return TASKS[one_of("task", name, TASKS)]
