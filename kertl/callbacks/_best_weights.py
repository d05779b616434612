"""Early stopping that keeps the best weights and never takes a NaN for the best."""

import math
from typing import Any

import keras


class BestWeights(keras.callbacks.EarlyStopping):
    """Keras' early stopping, with the best weights restored at the end and NaN or infinity never taken for the best.

    Args:
        monitor: Name of the watched metric, such as "val_loss".
        patience_epochs: Stop after so many epochs without a better value; None never stops.
    """

    def __init__(self, monitor: str = "val_loss", patience_epochs: int | None = None) -> None:
        patience = 10**9 if patience_epochs is None else patience_epochs
        super().__init__(monitor=monitor, patience=patience, restore_best_weights=True)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start with the present weights, which stay the best until an epoch ends with a finite value."""
        super().on_train_begin(logs)
        self.best_weights = self.model.get_weights()

    def get_state(self) -> dict[str, Any]:
        """The state; of the best weights only those that differ from the model's present ones."""
        now = self.model.get_weights()
        best = {
            str(place): kept for place, kept in enumerate(self.best_weights) if kept.tobytes() != now[place].tobytes()
        }
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait, "best_weights": best}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` gave; the model must have the weights that it had at that time."""
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        self.best_weights = self.model.get_weights()
        for place, kept in state["best_weights"].items():
            self.best_weights[int(place)] = kept

    def _is_improvement(self, monitor_value: Any, reference_value: Any) -> bool:
        return math.isfinite(monitor_value) and bool(super()._is_improvement(monitor_value, reference_value))
