"""Early stopping that keeps the best weights, for which a NaN is never best."""

import math
from typing import Any

import keras


class BestWeights(keras.callbacks.EarlyStopping):
    """Keras' early stopping, with the best weights restored at the end and NaN or infinity never taken for best.

    Args:
        monitor: Name of what is watched, such as "val_loss".
        patience_epochs: Stop after so many epochs without a better value; None never stops.
    """

    def __init__(self, monitor: str = "val_loss", patience_epochs: int | None = None) -> None:
        patience = 10**9 if patience_epochs is None else patience_epochs
        super().__init__(monitor=monitor, patience=patience, restore_best_weights=True)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start with the weights of before, which stay best until an epoch ends with a finite value."""
        super().on_train_begin(logs)
        self.best_weights = self.model.get_weights()

    def _is_improvement(self, monitor_value: Any, reference_value: Any) -> bool:
        return math.isfinite(monitor_value) and bool(super()._is_improvement(monitor_value, reference_value))
