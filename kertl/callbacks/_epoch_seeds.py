"""Augmentation and dropout as functions of seed, epoch and batch."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl.data.augment import seed_states


class EpochSeeds(keras.callbacks.Callback):
    """Sets every seed generator of the model at the start of each epoch from the seed, the epoch and its position.

    Within an epoch a generator counts up by itself, so its draws for batch i are a function of (seed, epoch, i),
    whatever was trained before.

    Args:
        seed: >= 0.
        parts: The layers and models whose generators are set, in this order; None for the model that is fitted. A model
            that is part of another draws the same in both if it comes first.
    """

    def __init__(self, seed: int, parts: Sequence[Any] | None = None) -> None:
        super().__init__()
        self.seed, self.parts = seed, parts

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the generators."""
        for place, state in enumerate(seed_states([self.model] if self.parts is None else self.parts)):
            (drawn,) = np.random.default_rng((self.seed, epoch, place)).integers(2**31, size=1)
            state.assign(np.array([drawn, 0]))
