"""The learning rate of each layer group among the figures of an epoch."""

from typing import Any

import keras


class GroupRates(keras.callbacks.Callback):
    """Adds `learning_rate/<group>` to the figures of each epoch, as they are at its end.

    It must come before whatever reads the figures: before Keras' `TensorBoard`, which draws a curve for each. The
    optimizer must be one that `kertl.optimizers.discriminative` made.

    Raises:
        ValueError: When training begins, if the optimizer has one rate for all.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Look at the optimizer."""
        optimizer = self._optimizer
        if not hasattr(optimizer, "group_multipliers"):
            raise ValueError(
                "`optimizer` must be one that kertl.optimizers.discriminative made. "
                f"Received: {type(optimizer).__name__}. Leave GroupRates out."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the rates."""
        rate = float(keras.ops.convert_to_numpy(self._optimizer.learning_rate))
        for name, multiplier in self._optimizer.group_multipliers.items():
            if logs is not None:
                logs[f"learning_rate/{name}"] = rate * multiplier

    @property
    def _optimizer(self) -> Any:
        return getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
