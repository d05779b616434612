"""What a model is asked: the output activation, the loss and the metrics that belong together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kertl._checks import complain, number, one_of


@keras.saving.register_keras_serializable(package="kertl")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of probabilities with label smoothing, for labels as class ids or as one row per example.

    With smoothing s and k classes, the target of the right class is `1 - s + s / k` and that of the others `s / k`.
    With a focus g above 0, what each class adds is multiplied by `(1 - p) ** g`, p being its probability.

    Args:
        smoothing: s; 0 <= smoothing < 1.
        focus: g; >= 0.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from kertl.tasks import SmoothedCrossentropy
        >>> round(float(SmoothedCrossentropy(0.0)(np.array([1]), np.array([[0.25, 0.75]]))), 4)
        0.2877

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7. https://arxiv.org/abs/1512.00567
        Lin et al., "Focal Loss for Dense Object Detection", 2017. https://arxiv.org/abs/1708.02002
    """

    def __init__(self, smoothing: float = 0.0, focus: float = 0.0, name: str = "crossentropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.smoothing = number("smoothing", smoothing, at_least=0, below=1)
        self.focus = number("focus", focus, at_least=0)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss per example, shape `(batch,)`."""
        if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
            ids = keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,))
            y_true = keras.ops.one_hot(ids, y_pred.shape[-1], dtype=y_pred.dtype)
        if self.focus:
            return keras.losses.categorical_focal_crossentropy(
                y_true, y_pred, alpha=1.0, gamma=self.focus, label_smoothing=self.smoothing
            )
        return keras.losses.categorical_crossentropy(y_true, y_pred, label_smoothing=self.smoothing)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "smoothing": self.smoothing, "focus": self.focus}


@keras.saving.register_keras_serializable(package="kertl")
class StandardizedError(keras.losses.Loss):
    """Error of a regression with each target measured in units of its own spread.

    For "mse", per example `mean over t of ((y_t - p_t) / spread_t)^2`: 1 is what answering the mean of the targets
    scores, and a target in thousands counts no more than one in thousandths.

    Args:
        spreads: Standard deviation of each target, each > 0; or one number for all of them.
        kind: "mse" (squares), "mae" (absolute values), or "huber" (half the square up to one spread, straight from
            there on).

    Raises:
        ValueError: If a spread is not a number above 0, or the kind is none of these.

    Example:
        >>> import numpy as np
        >>> from kertl.tasks import StandardizedError
        >>> loss = StandardizedError([10.0, 0.5])
        >>> float(loss(np.array([[100.0, 1.0]]), np.array([[110.0, 2.0]])))
        2.5
    """

    def __init__(
        self, spreads: float | Sequence[float] = 1.0, kind: str = "mse", name: str = "error", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.kind = one_of("kind", kind, _ERRORS)
        listed = [spreads] if isinstance(spreads, int | float) else list(spreads)
        self.spreads = [float(number("spreads", spread, above=0)) for spread in listed]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss per example, shape `(batch,)`."""
        y_pred = keras.ops.convert_to_tensor(y_pred)
        truth = keras.ops.reshape(keras.ops.cast(y_true, y_pred.dtype), keras.ops.shape(y_pred))
        spreads = keras.ops.convert_to_tensor(self.spreads, dtype=y_pred.dtype)
        return _ERRORS[self.kind](truth / spreads, y_pred / spreads)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "spreads": self.spreads, "kind": self.kind}


_ERRORS: dict[str, Callable[..., Any]] = {
    "mse": keras.losses.mean_squared_error,
    "mae": keras.losses.mean_absolute_error,
    "huber": keras.losses.huber,
}


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
    return StandardizedError(spreads or 1.0)


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


def loss_named(task: Task, name: Any, *, smoothing: float = 0.0, spreads: Sequence[float] | None = None) -> Any:
    """The loss that a stage names, for `compile`.

    Args:
        task: What is learnt.
        name: "auto", "focal", "mse", "mae", "huber", or a name in Keras' registry, as `kertl.Stage` has them.
        smoothing: Label smoothing, for cross-entropies; 0 <= smoothing < 1.
        spreads: Standard deviation of each target, for a regression.

    Raises:
        ValueError: If the loss does not go with the task, or nothing is registered under that name.

    Example:
        >>> from kertl.tasks import loss_named, task_named
        >>> loss_named(task_named("single_label"), "focal").focus
        2.0
    """
    if name == "auto":
        return task.loss(smoothing, spreads)
    if ">" in name:
        found = keras.saving.get_registered_object(name)
        if found is None:
            raise complain("loss", "registered with Keras", name, "Import the module that registers it first.")
        return found() if isinstance(found, type) else found
    fitting = ("auto", *_ERRORS) if task.name == "regression" else ("auto", "focal")
    if name not in fitting:
        raise complain("loss", f"{' or '.join(map(repr, fitting))} for the task {task.name!r}", name)
    if name != "focal":
        return StandardizedError(spreads or 1.0, name)
    if task.name == "single_label":
        return SmoothedCrossentropy(smoothing, focus=_FOCUS)
    return keras.losses.BinaryFocalCrossentropy(gamma=_FOCUS, label_smoothing=smoothing)


# What Lin et al. found best.
_FOCUS = 2.0


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: If there is none.
    """
    return TASKS[one_of("task", name, TASKS)]
