"""MixUp: each example mixed with another of its batch, labels likewise."""

from typing import Any

import keras
import numpy as np

from kertl.data._epochs import Epochs

_MIXING = 0x6D6978
"""Tells these random numbers from those of the order, which have the same seed and epoch."""


def mixing(seed: int, epoch: int, index: int, count: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Which examples of a batch are mixed, and how much of each is its own.

    Args:
        seed: Seed of the order of the examples.
        epoch: The epoch.
        index: Number of the batch in it.
        count: Examples in the batch.
        alpha: The shares are drawn from Beta(alpha, alpha); > 0.

    Returns:
        For each example the place of its partner in the batch, and its own share, in float32; each of shape `(count,)`.

    Reference:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018. https://arxiv.org/abs/1710.09412
    """
    random = np.random.default_rng((seed, epoch, index, _MIXING))
    return random.permutation(count), random.beta(alpha, alpha, count).astype(np.float32)


def mixed(parts: Any, partners: np.ndarray, shares: np.ndarray) -> Any:
    """The arrays of a batch, images or features, labels and weights, each mixed along its first axis, in float32."""

    def mix(array: Any) -> np.ndarray:
        values = np.asarray(array, np.float32)
        own = shares.reshape(-1, *[1] * (values.ndim - 1))
        return own * values + (1 - own) * values[partners]

    return keras.tree.map_structure(mix, parts)


def one_hot(labels: Any, num_classes: int) -> np.ndarray:
    """Class ids as rows with a 1 in the place of the class, in float32; labels that are rows already as they are."""
    found = np.asarray(labels)
    return found if found.ndim > 1 else np.eye(num_classes, dtype=np.float32)[found.astype(np.int64)]


class MixedBatches(Epochs):
    """The batches of another data set, mixed.

    Args:
        batches: The other; of images and labels.
        alpha: As in `mixing`.
        num_classes: Number of classes where labels are class ids; None where they are numbers that can be mixed.
        class_weights: Weight of each class in the loss, or None.
    """

    def __init__(
        self, batches: Epochs, alpha: float, num_classes: int | None, class_weights: dict[int, float] | None
    ) -> None:
        super().__init__(batches.batch_size, batches.seed, shuffle=batches.shuffle)
        self._batches, self._alpha = batches, alpha
        self._classes, self._weights = num_classes, class_weights

    @property
    def num_examples(self) -> int:
        """Number of examples in an epoch."""
        return self._batches.num_examples

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Batch `index` of an epoch: images, labels, and weights if there are any."""
        images, labels = self._batches.batch(epoch, index)
        parts: tuple[Any, ...] = images, labels if self._classes is None else one_hot(labels, self._classes)
        if self._weights is not None:
            weights = self._weights
            parts = (*parts, np.array([weights[int(label)] for label in np.ravel(labels)], np.float32))
        return mixed(parts, *mixing(self.seed, epoch, index, len(images), self._alpha))
