"""The end of observation, as a function of the epoch, so that a resumed run ends it where it would have ended."""

from typing import Any

import keras
import numpy as np

from kertl.quantization._network import FakeQuantised


class FreezeRanges(keras.callbacks.Callback):
    """Lets a network observe ranges and the statistics of BatchNorm for a number of epochs, and then no longer.

    Args:
        network: The network.
        end: The first epoch in which nothing is observed, counted as `fit` counts.
    """

    def __init__(self, network: FakeQuantised, end: int) -> None:
        super().__init__()
        self._network, self._end = network, end

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Observe or not."""
        self._network.observing.assign(np.float32(epoch < self._end))
