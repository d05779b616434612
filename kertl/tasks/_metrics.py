"""Metrics that Keras does not have in this form: those of mixed labels compare with the label of the greater share."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kertl")
class LabelAccuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of correct predictions, for labels as class ids or as rows, whose greatest entry is the label.

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
        """Count the correct predictions of a batch."""
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] != 1:
            y_true = keras.ops.argmax(y_true, axis=-1)
        return super().update_state(y_true, y_pred, sample_weight)


class _GreaterShare:
    """A metric of yes-or-no labels that takes mixed ones, which lie between 0 and 1, as those of the greater share."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Count a batch."""
        greater = keras.ops.cast(keras.ops.greater(y_true, 0.5), "float32")
        return super().update_state(greater, y_pred, sample_weight)  # type: ignore[misc]


@keras.saving.register_keras_serializable(package="kertl")
class YesNoAccuracy(_GreaterShare, keras.metrics.BinaryAccuracy):
    """Share of yes-or-no predictions that are correct.

    Example:
        >>> import numpy as np
        >>> from kertl.tasks import YesNoAccuracy
        >>> accuracy = YesNoAccuracy()
        >>> accuracy.update_state(np.array([[0.7], [0.4]]), np.array([[0.9], [0.8]]))
        >>> float(accuracy.result())
        0.5
    """

    def __init__(self, name: str = "accuracy", **options: Any) -> None:
        super().__init__(name=name, **options)


@keras.saving.register_keras_serializable(package="kertl")
class YesNoAUC(_GreaterShare, keras.metrics.AUC):
    """Area under the ROC curve."""

    def __init__(self, name: str = "auc", **options: Any) -> None:
        super().__init__(name=name, **options)


@keras.saving.register_keras_serializable(package="kertl")
class YesNoF1(_GreaterShare, keras.metrics.F1Score):
    """F1, averaged over the classes, at a threshold of 0.5."""

    def __init__(self, name: str = "macro_f1", **options: Any) -> None:
        super().__init__(**{"average": "macro", "threshold": 0.5, **options}, name=name)
