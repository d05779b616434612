"""The best of the averages of the weights, instead of the best weights."""

from typing import Any

import keras
import numpy as np

from kertl._keras import averages
from kertl.callbacks._best_weights import BestWeights


class BestAverage(BestWeights):
    """`BestWeights` of the exponential average that an optimizer with `use_ema` keeps.

    The average is validated and kept; training itself continues with the weights of each step. Keras' `SwapEMAWeights`
    loses these at the end of each `fit`, and a run that resumes in mid-epoch has one `fit` more.

    Reference:
        Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
    """

    def __init__(self, monitor: str = "val_loss", patience_epochs: int | None = None) -> None:
        super().__init__(monitor, patience_epochs)
        self._inside = False

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the average into the model, to be validated."""
        self._exchange()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Continue with the weights themselves."""
        self._exchange()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the average if it is the best so far."""
        self._exchange()
        super().on_epoch_end(epoch, logs)
        self._exchange()

    def get_state(self) -> dict[str, Any]:
        """The state, and whether the model holds the average at the moment."""
        return {**super().get_state(), "inside": self._inside}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore that state; the model has its own weights afterwards."""
        super().set_state(state)
        self._inside = state["inside"]
        if self._inside:
            self._exchange()

    def _exchange(self) -> None:
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        for variable, average in averages(optimizer):
            value = np.array(keras.ops.convert_to_numpy(variable))
            variable.assign(average)
            average.assign(value)
        self._inside = not self._inside
