"""The learning rate of each layer group among the metrics of an epoch."""

from typing import Any

import keras

from kertl._checks import complain


class GroupRates(keras.callbacks.Callback):
    """Adds `learning_rate/<group>` to the metrics of each epoch, with the rates at its end.

    It must come before callbacks that read the metrics, such as Keras' `TensorBoard`, which draws a curve for each. The
    optimizer must be one that `kertl.optimizers.discriminative` made.

    Raises:
        ValueError: When training begins, if the optimizer has one rate for all.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check the optimizer."""
        if not hasattr(self._optimizer, "group_multipliers"):
            accepted, name = "one that kertl.optimizers.discriminative made", type(self._optimizer).__name__
            raise complain("optimizer", accepted, name, "Leave GroupRates out.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the rates."""
        optimizer = self._optimizer
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        if logs is not None:
            rates = optimizer.group_multipliers.items()
            logs.update({f"learning_rate/{name}": rate * multiplier for name, multiplier in rates})

    @property
    def _optimizer(self) -> Any:
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
