"""The batches of a data set for TensorFlow, which gathers them by itself from images that are held in memory."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kertl.data._readers import ALIGNMENT, Held
from kertl.errors import DataError
from kertl.hardware import replicas

if TYPE_CHECKING:
    import tensorflow as tf

    from kertl.data._dataset import ImageDataset


def tf_batches(dataset: "ImageDataset", epoch_of: Callable[[], int]) -> "tf.data.Dataset":
    """The batches of a data set as a `tf.data.Dataset`; batch i of a pass is `dataset.batch(epoch, i)`.

    Images that are held in memory are gathered by TensorFlow from there, in its own threads; Python only says at the
    beginning of a pass in which order. Others come from `dataset.batch`.

    Args:
        dataset: The data set.
        epoch_of: Says at the beginning of a pass which epoch it is.
    """
    import tensorflow as tf

    found = _read(dataset, epoch_of) if (held := usable_images(dataset)) is None else _gathered(dataset, epoch_of, held)
    return found.apply(tf.data.experimental.assert_cardinality(len(dataset))).prefetch(tf.data.AUTOTUNE)


def _read(dataset: "ImageDataset", epoch_of: Callable[[], int]) -> "tf.data.Dataset":
    """Batches that Python reads, one after the other."""
    import tensorflow as tf

    def batches() -> Iterator[Any]:
        epoch = epoch_of()
        for index in range(len(dataset)):
            yield dataset.batch(epoch, index)

    signature = [tf.TensorSpec((None, *dataset.reader.shape), tf.uint8)]
    if (labels := dataset.labels) is not None:
        signature.append(tf.TensorSpec((None, *labels.shape[1:]), tf.as_dtype(labels.dtype)))
    return tf.data.Dataset.from_generator(batches, output_signature=tuple(signature))


def _gathered(dataset: "ImageDataset", epoch_of: Callable[[], int], held: Held) -> "tf.data.Dataset":
    """Batches that TensorFlow gathers from memory; those that are not there yet are read into it first."""
    import tensorflow as tf

    images = tf.experimental.dlpack.from_dlpack(held.images.__dlpack__())
    labels = [] if dataset.labels is None else [dataset.labels]
    shapes = [(None,), *((None, *values.shape[1:]) for values in labels)]

    def plan() -> list[np.ndarray]:
        rows = dataset.order(epoch_of())
        where = held.places[rows].astype(np.int64)
        # Below zero while there are images to be read.
        return [-1 - where if held.lacking() else where, *(values[rows] for values in labels)]

    def fill(where: np.ndarray) -> np.ndarray:
        try:
            held.fill(where)
        except DataError as error:
            dataset.failure = error
            raise
        return where

    def epoch(_: Any) -> "tf.data.Dataset":
        parts = tf.numpy_function(plan, [], [tf.int64, *(tf.as_dtype(values.dtype) for values in labels)])
        parts = tuple(map(tf.ensure_shape, parts, shapes))
        return tf.data.Dataset.from_tensor_slices(parts).batch(dataset.batch_size)

    def batch(where: Any, *rest: Any) -> tuple[Any, ...]:
        read = tf.cond(where[0] < 0, lambda: tf.numpy_function(fill, [-1 - where], tf.int64), lambda: where)
        return tf.gather(images, tf.ensure_shape(read, (None,))), *rest

    return tf.data.Dataset.range(1).flat_map(epoch).map(batch, num_parallel_calls=tf.data.AUTOTUNE)


def usable_images(dataset: "ImageDataset") -> Held | None:
    """The memory that holds the images of a data set; None if there is none that TensorFlow can use as it is."""
    held = dataset.reader.held()
    if held is None:
        return None
    images = held.images
    usable = images.flags.c_contiguous and images.flags.writeable and images.ctypes.data % ALIGNMENT == 0
    return held if usable and images.dtype == np.uint8 and images.size else None


def fit_input(dataset: Any) -> Any:
    """What to give `fit` for a data set whose `epoch` is set when an epoch begins: the batches in their quickest form.

    On TensorFlow, on one device, images that are held in memory come as `tf_batches`; all else is handed on as it is.
    """
    import keras

    from kertl.data._dataset import ImageDataset

    if not isinstance(dataset, ImageDataset) or keras.backend.backend() != "tensorflow" or replicas() > 1:
        return dataset
    return dataset if usable_images(dataset) is None else tf_batches(dataset, lambda: dataset.epoch)
