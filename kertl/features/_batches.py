"""Features in batches.

The order of an epoch is that of `kertl.data.ImageDataset`, so training on features sees the examples in the same order
as training on their images.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl._checks import complain, integer, number
from kertl.data import Epochs, mixed, mixing


class FeatureBatches(Epochs):
    """Rows of features in batches, as `(features, labels)` or `(features, labels, weights)`.

    In epoch `e` the order, if shuffled, is `np.random.default_rng((seed, e)).permutation(num_examples)`. Every whole
    pass counts `epoch` up by one; `EpochFitter` sets it to the epoch of `fit`. A `fit` without it must be called with
    `shuffle=False`.

    Attributes:
        values: The features, an array with one row per example, or a tuple of such arrays.
        labels: The labels of all rows of `values`.
        weights: The weight of each row of `values` in the loss, or None.
        rows: Which rows of the first version the examples are.
        versions: How many versions of every example `values` holds, one after the other; each epoch takes another.
        batch_size: Examples per batch.
        seed: Seed of the order.
        shuffle: Whether the order changes from epoch to epoch.
        mixup: How much each example is mixed with another of its batch, as in `feature_batches`.
        epoch: The epoch whose batches `batches[i]` gives; may be set.
    """

    def __init__(
        self,
        values: Any,
        labels: np.ndarray,
        weights: np.ndarray | None,
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        shuffle: bool,
        mixup: float = 0.0,
        versions: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, shuffle=shuffle)
        self.values = tuple(values) if isinstance(values, list) else values  # tf.data would make a list one tensor
        self.labels = labels
        self.weights = weights
        self.rows = rows
        self.mixup = mixup
        self.versions = versions

    @property
    def num_examples(self) -> int:
        """Number of examples in an epoch."""
        return len(self.rows)

    @property
    def parts(self) -> tuple[Any, ...]:
        """Features, labels, and weights if there are any, of all rows."""
        return (self.values, self.labels) if self.weights is None else (self.values, self.labels, self.weights)

    @property
    def nbytes(self) -> int:
        """Bytes of the features."""
        return sum(values.nbytes for values in listed(self.values))

    @property
    def in_memory(self) -> bool:
        """Whether the features are plain arrays, not files mapped into memory."""
        return all(type(values) is np.ndarray for values in listed(self.values))

    def order(self, epoch: int) -> np.ndarray:
        """The examples in the order of an epoch, as indices into `values` and `labels`."""
        return self.rows[super().order(epoch)] + epoch % self.versions * (len(self.labels) // self.versions)

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Batch `index` of an epoch."""
        rows = self.batch_rows(epoch, index)
        parts = tuple(keras.tree.map_structure(lambda array: np.asarray(array[rows]), self.parts))
        return mixed(parts, *mixing(self.seed, epoch, index, len(rows), self.mixup)) if self.mixup else parts

    def epoch_plan(self, epoch: int) -> tuple[np.ndarray, ...]:
        """The rows of a whole epoch in order; with MixUp also each row's partner and own share."""
        order = self.order(epoch).astype(np.int64)
        if not self.mixup:
            return (order,)
        starts = range(0, len(order), self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        drawn = [mixing(self.seed, epoch, number, len(rows), self.mixup) for number, rows in enumerate(batches)]
        partners = [rows[places] for rows, (places, _) in zip(batches, drawn, strict=True)]
        return order, np.concatenate(partners), np.concatenate([shares for _, shares in drawn])


def feature_batches(
    values: Any,
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    *,
    weights: np.ndarray | None = None,
    shuffle: bool = True,
    rows: Sequence[int] | np.ndarray | None = None,
    mixup: float = 0.0,
    versions: int = 1,
) -> FeatureBatches:
    """Features in batches for `fit(..., shuffle=False)`, or faster for `EpochFitter(model).fit`.

    Args:
        values: Array with one row per example, or a list of such arrays if two tensors cross the boundary.
        labels: One label, or row of labels, per example.
        batch_size: Examples per batch; >= 1. The last batch may be smaller.
        seed: Seed of the order; >= 0.
        weights: Weight of each example in the loss. (`class_weight` of `fit` cannot be used with `EpochFitter`.)
        shuffle: Whether the order changes from epoch to epoch; if not, it is that of `rows`.
        rows: Which examples are used; all by default.
        mixup: Above 0, each example is mixed with another of its batch, features, labels and weights alike, its own
            share drawn from Beta(mixup, mixup); labels must then be numbers that can be mixed: one-hot rows for several
            classes. With weights, labels are mixed by share times weight.
        versions: How many versions of every example `values` holds, all of the first one, then all of the second one,
            and so on; each epoch takes the next.

    Raises:
        ValueError: If the lengths differ, or an argument is outside its range.

    Example:
        >>> import numpy as np
        >>> from kertl.features import feature_batches
        >>> batches = feature_batches(np.zeros((5, 3)), np.arange(5), batch_size=2, seed=0)
        >>> len(batches), [batches.batch(epoch, 0)[1].tolist() for epoch in range(2)]
        (3, [[2, 4], [1, 4]])

    Reference:
        Verma et al., "Manifold Mixup: Better Representations by Interpolating Hidden States", 2019, for MixUp of
            tensors inside a model. https://arxiv.org/abs/1806.05236
    """
    integer("batch_size", batch_size, at_least=1)
    integer("seed", seed, at_least=0)
    number("mixup", mixup, at_least=0)
    integer("versions", versions, at_least=1)
    labels = np.concatenate([labels] * versions)
    weights = None if weights is None else np.concatenate([weights] * versions)
    lengths = [len(array) for array in (*listed(values), labels, *([] if weights is None else [weights]))]
    if len(set(lengths)) > 1:
        raise complain("values", "as many rows of features as there are labels and weights", lengths)
    chosen = np.arange(lengths[0] // versions) if rows is None else np.asarray(rows)
    return FeatureBatches(values, labels, weights, chosen, batch_size, seed, shuffle, mixup, versions)


def listed(values: Any) -> list[Any]:
    """The tensors that cross the boundary, one or several, as a list."""
    return list(values) if isinstance(values, (list, tuple)) else [values]
