"""Batches for `fit`, `evaluate` and `predict`.

Batch `i` of an epoch depends only on the seed, the epoch and `i`: not on what was read before, nor on which thread
reads it.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kertl import _checks
from kertl.data._epochs import Epochs
from kertl.data._issues import Issue
from kertl.data._labels import renumbered
from kertl.data._readers import Reader
from kertl.data._summary import kind_of
from kertl.data._tf_batches import tf_batches
from kertl.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf


class ImageDataset(Epochs):
    """Images in batches, as `(images, labels)`, or as `(images,)` without labels.

    Images are `uint8` arrays of shape `(batch, height, width, channels)`. Labels are `int32` class ids of shape
    `(batch,)` for a single label; in the other tasks `float32` of the shape of a model's predictions: `(batch, 1)` with
    1 for the second of two classes, `(batch, classes)` of 0 and 1, or `(batch, targets)`. The last batch may be
    smaller. In epoch `e` of a shuffled dataset the order is
    `np.random.default_rng((seed, e)).permutation(num_examples)`.

    Every whole pass of `fit` or `evaluate` counts `epoch` up by one. `fit(shuffle=False)` hands the batches of an epoch
    to the model in the order 0, 1, 2, ...; with its default, `shuffle=True`, Keras hands over the same batches in a
    random order of its own. If a data set has fewer batches than the 8 or so that TensorFlow reads ahead while Keras
    builds the model, that may be counted as a pass too; `kertl.callbacks.DataEpoch(dataset)` sets `epoch` to the number
    `fit` gives.

    Attributes:
        labels: Labels in data order, or None.
        files: File names in data order.
        class_names: Name of each class, or of each target.
        task: "single_label", "binary", "multi_label" or "regression".
        batch_size: Examples per batch.
        seed: Seed of the order.
        epoch: The epoch whose batches `dataset[i]` gives; may be set.
        shuffle: Whether the order changes from epoch to epoch.
        issues: Files that were left out, where the dataset was made from files by `images`.
        failure: The error from the last batch that could not be read, or None; see `data_errors`.
        digests: SHA-256 of the content of each file or array, in data order, where it is known.
    """

    def __init__(
        self,
        reader: Reader,
        labels: np.ndarray | None,
        files: Sequence[str],
        *,
        class_names: Sequence[str] = (),
        task: str = "single_label",
        batch_size: int = 32,
        seed: int = 0,
        shuffle: bool = False,
        issues: Sequence[Issue] = (),
        digests: Sequence[str] | None = None,
    ) -> None:
        super().__init__(batch_size, seed, shuffle=shuffle)
        self.reader = reader
        self.labels = labels
        self.files = list(files)
        self.class_names = _checks.class_names(class_names) or []
        self.task = task
        self.issues = tuple(issues)
        self.digests = None if digests is None else list(digests)
        self.failure: DataError | None = None

    def __repr__(self) -> str:
        labels = "no labels" if self.labels is None else kind_of(self.task, self.class_names)
        return (
            f"ImageDataset({self.num_examples} images, {labels}, image_size={self.image_size}, "
            f"batch_size={self.batch_size}, shuffle={self.shuffle}, seed={self.seed}, epoch={self.epoch})"
        )

    @property
    def num_examples(self) -> int:
        """Number of images."""
        return len(self.files)

    @property
    def image_size(self) -> tuple[int, int]:
        """`(height, width)` of every image."""
        return self.reader.shape[:2]

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return self.reader.shape[2]

    def batch(self, epoch: int, index: int) -> tuple[np.ndarray, ...]:
        """Batch `index` of an epoch."""
        rows = self.batch_rows(epoch, index)
        try:
            images = self.reader.take(rows)
        except DataError as error:
            self.failure = error
            raise
        return (images,) if self.labels is None else (images, self.labels[rows])

    def in_order(self) -> "ImageDataset":
        """The same examples in data order, for evaluation and feature extraction; a cache in memory is shared."""
        return self._unshuffled(self.labels, self.class_names, self.task)

    def relabelled(self, class_names: Sequence[str], task: str | None = None) -> "ImageDataset":
        """The same examples in data order, with labels for another list of classes, such as a trained model's.

        Classes are matched by name, never by position. The list may have more of them than the dataset.

        Args:
            class_names: The classes, or the targets of a regression, in the order wanted.
            task: The task wanted; images of one class each also go with "binary".

        Raises:
            DataError: If a class of the dataset is not in the list, a target of the list is not in the dataset, or
                the labels are of another task.
        """
        task, names = task or self.task, _checks.class_names(class_names) or []
        return self._unshuffled(renumbered(self.labels, self.task, self.class_names, task, names), names, task)

    def changed(
        self,
        *,
        image_size: tuple[int, int] | None = None,
        batch_size: int | None = None,
        resize: str | None = None,
        channels: int | None = None,
    ) -> "ImageDataset":
        """The same examples in the same order, in another form; None leaves what it stands for unchanged.

        Args:
            image_size: `(height, width)`. Arrays are resized from their present size.
            batch_size: Images per batch; >= 1.
            resize: `"stretch"`, `"pad"` or `"crop"`; files are decoded anew for it.
            channels: Channels of every image; files are decoded anew for them.

        Raises:
            DataError: If the images are arrays that have already been resized in another way, or have another number
                of channels (one and three become each other).
        """
        size = self.image_size if image_size is None else _checks.pair("image_size", image_size)
        same = size == self.image_size and resize in (None, self.reader.fitted) and channels in (None, self.channels)
        reader = self.reader if same else self.reader.at_size(size, resize, channels)
        other = self._with(reader=reader, batch_size=batch_size or self.batch_size)
        return other if self.balance is None else other.oversampled(self.balance)

    def subset(self, rows: np.ndarray, *, seed: int | None = None, shuffle: bool | None = None) -> "ImageDataset":
        """Only the examples `rows`, such as those of a fold, in batches of the same size; no image is read or copied.

        A cache in memory is shared. If the dataset is oversampled, its classes are again drawn equally often unless
        `shuffle` is False. The new dataset begins with epoch 0.

        Args:
            rows: Positions in data order, whole numbers from 0 to `num_examples - 1`, at least one; the examples come
                in this order.
            seed: Seed of the order; None for the dataset's own.
            shuffle: Whether the order changes from epoch to epoch; None for the dataset's own setting.

        Raises:
            ValueError: If `rows` or `seed` is not as described above.

        Example:
            >>> import kertl, numpy as np
            >>> x = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
            >>> data = kertl.data.from_arrays(x, [0, 1] * 10, validation=0, test=0)
            >>> fold = data.train.subset(np.arange(5, 15), shuffle=False)
            >>> fold.num_examples, fold.files[0], fold[0][1].tolist()
            (10, 'array:5', [1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
        """
        chosen = np.asarray(rows)
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not chosen.size:
            raise _checks.complain("rows", "a one-dimensional array of at least one whole number", rows)
        if not (chosen.min() >= 0 and chosen.max() < self.num_examples):
            received = [int(chosen.min()), int(chosen.max())]
            raise _checks.complain("rows", f"positions from 0 to {self.num_examples - 1}", received)
        smaller = self._with(
            reader=self.reader.subset(chosen),
            labels=None if self.labels is None else self.labels[chosen],
            files=[self.files[row] for row in chosen],
            digests=None if self.digests is None else [self.digests[row] for row in chosen],
            seed=self.seed if seed is None else _checks.integer("seed", seed, at_least=0),
            shuffle=self.shuffle if shuffle is None else _checks.one_of("shuffle", shuffle, (False, True)),
        )
        return smaller if self.balance is None or shuffle is False else smaller.oversampled(self.balance[chosen])

    def _unshuffled(self, labels: np.ndarray | None, class_names: Sequence[str], task: str) -> "ImageDataset":
        return self._with(labels=labels, class_names=class_names, task=task, shuffle=False)

    def _with(self, **changes: Any) -> "ImageDataset":
        """A new dataset with some arguments changed."""
        names = ("class_names", "task", "batch_size", "seed", "shuffle", "issues", "digests")
        options: dict[str, Any] = {"reader": self.reader, "labels": self.labels, "files": self.files}
        return ImageDataset(**{**options, **{name: getattr(self, name) for name in names}, **changes})

    def to_tf_dataset(self) -> "tf.data.Dataset":
        """The same batches as a `tf.data.Dataset`; each iteration over it is the next epoch, from `epoch` on."""
        epochs = itertools.count(self.epoch)
        return tf_batches(self, lambda: next(epochs))
