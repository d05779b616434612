"""MixUp and CutMix: each example is mixed with another of its batch, and so are their labels.

All draws are a function of seed, epoch and position of the batch, unlike those of Keras' layers.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from kertl.data._epochs import Epochs

# These keep apart random numbers of the same seed and epoch: those of the order use none of them.
_MIXING, _CUTTING, _CHOOSING = 0x6D6978, 0x637574, 0x636F69


def mixing(seed: int, epoch: int, index: int, count: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Which examples of a batch are mixed, and how much of each is its own.

    Args:
        seed: Seed of the order of the examples.
        epoch: The epoch.
        index: Number of the batch in it.
        count: Examples in the batch.
        alpha: Parameter of Beta(alpha, alpha), from which the shares are drawn; > 0.

    Returns:
        For each example the position of its partner in the batch, and its own share, in float32; each of shape
        `(count,)`.

    Reference:
        Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018. https://arxiv.org/abs/1710.09412
    """
    random = np.random.default_rng((seed, epoch, index, _MIXING))
    return random.permutation(count), random.beta(alpha, alpha, count).astype(np.float32)


def cutting(
    seed: int, epoch: int, index: int, count: int, alpha: float, image_size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which examples of a batch get a piece of which others, where, and how much of each remains.

    A share l is drawn from Beta(alpha, alpha); the piece is a rectangle with sides of `sqrt(1 - l)` times the image's,
    around a point drawn uniformly in it, clipped to the image.

    Args:
        seed: Seed of the order of the examples.
        epoch: The epoch.
        index: Number of the batch in it.
        count: Examples in the batch.
        alpha: > 0.
        image_size: `(height, width)`.

    Returns:
        For each example the position of its partner in the batch, shape `(count,)`; the first and the last row and
        column of the piece, the last ones not included, shape `(count, 4)`; and the share of the area that is left, in
        float32, shape `(count,)`.

    Reference:
        Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019.
        https://arxiv.org/abs/1905.04899
    """
    random = np.random.default_rng((seed, epoch, index, _CUTTING))
    partners, cut_off = random.permutation(count), np.sqrt(1 - random.beta(alpha, alpha, count))
    edges = []
    for side in image_size:
        middle, half = random.uniform(0, side, count), cut_off * side / 2
        edges.append(np.clip(np.rint([middle - half, middle + half]), 0, side).astype(np.int64))
    (top, bottom), (left, right) = edges
    shares = 1 - (bottom - top) * (right - left) / (image_size[0] * image_size[1])
    return partners, np.stack([top, bottom, left, right], axis=1), shares.astype(np.float32)


def cut(images: Any, partners: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The images of a batch, each with a piece replaced by its partner's, in float32."""
    values = np.asarray(images, np.float32)
    top, bottom, left, right = boxes.T[:, :, None]
    rows, columns = (np.arange(side) for side in values.shape[1:3])
    down, across = (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    return np.where((down[:, :, None] & across[:, None, :])[..., None], values[partners], values)


def mixed(parts: Sequence[Any], partners: np.ndarray, shares: np.ndarray) -> tuple[Any, ...]:
    """A batch of images or features, labels, and weights if there are any, each mixed along its first axis, in float32.

    With weights, the loss of an example is `share * w_i * loss(y_i) + (1 - share) * w_j * loss(y_j)`: the weights are
    mixed by the shares, and the labels by `label_shares`.
    """
    values, *labels = parts
    mix = partial(_mix, partners=partners, shares=shares)
    return keras.tree.map_structure(mix, values), *mixed_labels(labels, partners, shares)


def mixed_labels(parts: Sequence[Any], partners: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, ...]:
    """The labels of a batch, and their weights if there are any, mixed as in `mixed`."""
    labels, *weights = parts
    by_weight = label_shares(shares, weights[0], weights[0][partners]) if weights else shares
    return _mix(labels, partners, by_weight), *(_mix(each, partners, shares) for each in weights)


def label_shares(shares: Any, weights: Any, others: Any) -> Any:
    """The share of an example's own label: its share times its weight, over the mixed weight; numpy or tensors.

    Args:
        shares: The share of the example itself.
        weights: Its weight in the loss, >= 0.
        others: That of its partner, >= 0.
    """
    own = shares * weights
    return own / (own + (1 - shares) * others + 1e-30)  # both may be 0, and then the label does not matter


def _mix(array: Any, partners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    values = np.asarray(array, np.float32)
    own = shares.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)
    return own * values + (1 - own) * values[partners]


def one_hot(labels: Any, num_classes: int) -> np.ndarray:
    """Class ids as one-hot rows in float32; labels that are already rows are unchanged."""
    found = np.asarray(labels)
    return found if found.ndim > 1 else np.eye(num_classes, dtype=np.float32)[found.astype(np.int64)]


class MixedBatches(Epochs):
    """The batches of a data set, mixed.

    Where `mixup` and `cutmix` are both above 0, each batch has one of the two: a fair coin, drawn from seed, epoch and
    index, decides.

    Args:
        batches: The data set; of images and labels.
        mixup: `alpha` as in `mixing`; 0 for none.
        cutmix: `alpha` as in `cutting`; 0 for none.
        num_classes: Number of classes where labels are class ids; None where they are numbers that can be mixed.
        class_weights: Weight of each class in the loss, or None.
    """

    def __init__(
        self,
        batches: Epochs,
        mixup: float,
        cutmix: float,
        num_classes: int | None,
        class_weights: dict[int, float] | None,
    ) -> None:
        super().__init__(batches.batch_size, batches.seed, shuffle=batches.shuffle)
        self._batches, self._mixup, self._cutmix = batches, mixup, cutmix
        self._num_classes, self._weights = num_classes, class_weights

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def num_examples(self) -> int:
        """Number of examples in an epoch."""
        return self._batches.num_examples

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Batch `index` of an epoch: images, labels, and weights if there are any."""
        images, labels = self._batches.batch(epoch, index)
        parts: tuple[Any, ...] = images, labels if self._num_classes is None else one_hot(labels, self._num_classes)
        if self._weights is not None:
            weights = self._weights
            parts = (*parts, np.array([weights[int(label)] for label in np.ravel(labels)], np.float32))
        place = self.seed, epoch, index
        if self._cuts(place):
            partners, boxes, shares = cutting(*place, len(images), self._cutmix, images.shape[1:3])
            return cut(images, partners, boxes), *mixed_labels(parts[1:], partners, shares)
        return mixed(parts, *mixing(*place, len(images), self._mixup))

    def _cuts(self, place: tuple[int, int, int]) -> bool:
        """Whether CutMix is applied to a batch instead of MixUp."""
        if self._mixup and self._cutmix:
            return bool(np.random.default_rng((*place, _CHOOSING)).random() < 0.5)
        return self._cutmix > 0
