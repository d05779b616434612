"""Batches that depend only on the seed, the epoch and their position."""

import copy
import math
from typing import Any, Self

import keras
import numpy as np

from kertl.data._imbalance import balanced_rows
from kertl.errors import PositionError


class Epochs(keras.utils.PyDataset):
    """Examples in batches, in an order that is a function of seed and epoch.

    A subclass says what is in a batch, `batch(epoch, index)`, and how many examples there are, `num_examples`.

    Attributes:
        batch_size: Examples per batch.
        seed: Seed of the order.
        shuffle: Whether the order changes from epoch to epoch.
        epoch: The epoch whose batches `dataset[i]` gives; may be set.
        balance: The class of each example where every class is drawn equally often, see `oversampled`; else None.
    """

    def __init__(self, batch_size: int, seed: int, *, shuffle: bool) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self.balance: np.ndarray | None = None
        self._inside_epoch = False
        self._asked: set[int] = set()

    def __len__(self) -> int:
        if self.balance is None:
            return math.ceil(self.num_examples / self.batch_size)
        counts = np.bincount(self.balance)
        return math.ceil(np.count_nonzero(counts) * counts.max() / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        if self._inside_epoch:
            self._asked.add(index)
        return self.batch(self.epoch, index)

    @property
    def num_examples(self) -> int:
        """Number of examples in an epoch."""
        raise NotImplementedError

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Batch `index` of an epoch."""
        raise NotImplementedError

    def order(self, epoch: int) -> np.ndarray:
        """The examples in the order of an epoch, by number."""
        if self.balance is not None:
            return balanced_rows(self.balance, np.random.default_rng((self.seed, epoch)))
        if not self.shuffle:
            return np.arange(self.num_examples)
        return np.random.default_rng((self.seed, epoch)).permutation(self.num_examples)

    def batch_rows(self, epoch: int, index: int) -> np.ndarray:
        """The examples of batch `index` of an epoch, as `order` has them.

        Raises:
            IndexError: If there is no such batch.
        """
        if not 0 <= index < len(self):
            raise PositionError(f"`index` must be at least 0 and below {len(self)}. Received: index={index}.")
        return self.order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]

    def oversampled(self, classes: np.ndarray) -> Self:
        """The same examples, every class drawn in an epoch as often as the largest, in a changing order.

        Examples of smaller classes come several times; which of them come one more time than others is drawn anew for
        each epoch.

        Args:
            classes: The class of each example, whole numbers, in data order.
        """
        other = copy.copy(self)
        other.balance, other._asked = np.asarray(classes, np.int64), set()
        return other

    def on_epoch_begin(self) -> None:
        """Called by Keras before an epoch, and before the one batch it may read to build a model."""
        self._inside_epoch = True

    def on_epoch_end(self) -> None:
        """Called by Keras after an epoch, and before the first; only a whole pass over the batches counts."""
        self._inside_epoch = False
        if len(self._asked) == len(self):
            self.epoch += 1
            self._asked.clear()
