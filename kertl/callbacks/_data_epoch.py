"""Telling a data set which epoch it is, whatever else has been read from it in between."""

from typing import Any

import keras

from kertl.data import Epochs


class DataEpoch(keras.callbacks.Callback):
    """Sets `epoch` of a data set to the number that `fit` gives the epoch.

    Args:
        dataset: The data set that is trained on.
    """

    def __init__(self, dataset: Epochs) -> None:
        super().__init__()
        self.dataset = dataset

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the number."""
        self.dataset.epoch = epoch
