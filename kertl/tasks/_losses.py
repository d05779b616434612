"""Losses that Keras does not have in this form."""

from collections.abc import Sequence
from typing import Any

import keras

from kertl._checks import number, one_of
from kertl.tasks._scores import ERRORS


@keras.saving.register_keras_serializable(package="kertl")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of probabilities with label smoothing, for labels as class ids or as one row per example.

    With smoothing s and k classes, the target of the right class is `1 - s + s / k` and that of the others `s / k`.
    With a focus g above 0, each class's term is multiplied by `(1 - p) ** g`, where p is its probability.

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
    """Error of a regression with each target measured in units of its own standard deviation.

    For "mse", per example `mean over t of ((y_t - p_t) / s_t)^2` with standard deviations s_t: always predicting the
    mean of the targets scores 1, and a target in thousands counts no more than one in thousandths.

    Args:
        spreads: Standard deviation of each target, each > 0; or one number for all of them.
        kind: "mse" (squares), "mae" (absolute values), or "huber" (half the square up to one standard deviation, linear
            from there on).

    Raises:
        ValueError: If a standard deviation is not a number above 0, or the kind is none of these.

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
        self.kind = one_of("kind", kind, ERRORS)
        listed = [spreads] if isinstance(spreads, int | float) else list(spreads)
        self.spreads = [float(number("spreads", value, above=0)) for value in listed]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss per example, shape `(batch,)`."""
        y_pred = keras.ops.convert_to_tensor(y_pred)
        truth = keras.ops.reshape(keras.ops.cast(y_true, y_pred.dtype), keras.ops.shape(y_pred))
        spreads = keras.ops.convert_to_tensor(self.spreads, dtype=y_pred.dtype)
        return getattr(keras.losses, ERRORS[self.kind])(truth / spreads, y_pred / spreads)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), "spreads": self.spreads, "kind": self.kind}


# The best value according to Lin et al.
FOCUS = 2.0


def focal_binary_crossentropy(smoothing: float) -> keras.losses.Loss:
    """The focal loss of probabilities of yes-or-no questions."""
    return keras.losses.BinaryFocalCrossentropy(gamma=FOCUS, label_smoothing=smoothing)
