"""Stopping when a model begins to know its training images better than others."""

from typing import Any

import keras


class StopBelowValidation(keras.callbacks.Callback):
    """Stops as soon as an epoch ends with a training loss below its validation loss.

    While the head or newly unfrozen layers still learn what is common to all images, dropout and augmentation keep the
    training loss above the validation loss; once they cross, more of the model may be unfrozen.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop if they have crossed."""
        metrics = logs or {}
        if metrics["loss"] < metrics["val_loss"]:
            self.model.stop_training = True

    def get_state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""
