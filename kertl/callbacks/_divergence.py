"""Stopping at the batch at which the loss is no longer a number."""

import math
from typing import Any

import keras


class StopOnDivergence(keras.callbacks.Callback):
    """Stops training as soon as the loss is NaN or infinite.

    Attributes:
        diverged_at: `(epoch, batch)`, counted from 0, of that batch; None if there was none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.diverged_at: tuple[int, int] | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Check the mean loss of the epoch so far, which stays NaN once one batch was."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss) and self.diverged_at is None:
            self.diverged_at = (self._epoch, batch)
            self.model.stop_training = True
