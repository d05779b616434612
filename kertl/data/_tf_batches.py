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

    found = _read(dataset, epoch_of) if (held := _usable(dataset)) is None else _gathered(dataset, epoch_of, held)
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

    images, places = tf.experimental.dlpack.from_dlpack(held.images.__dlpack__()), tf.constant(held.places, tf.int64)
    rest = [] if dataset.labels is None else [tf.constant(dataset.labels)]

    def plan() -> tuple[np.ndarray, bool]:
        return dataset.order(epoch_of()).astype(np.int64), held.lacking()

    def fill(where: np.ndarray) -> np.ndarray:
        try:
            held.fill(where)
        except DataError as error:
            dataset.failure = error
            raise
        return where

    def portions(_: Any) -> "tf.data.Dataset":
        rows, lacking = tf.numpy_function(plan, [], [tf.int64, tf.bool])
        rows, lacking = tf.ensure_shape(rows, (None,)), tf.ensure_shape(lacking, ())
        starts = tf.data.Dataset.range(0, tf.size(rows, tf.int64), dataset.batch_size)
        return starts.map(lambda start: (rows[start : start + dataset.batch_size], lacking))

    def batch(rows: Any, lacking: Any) -> tuple[Any, ...]:
        where = tf.gather(places, rows)
        there = tf.cond(lacking, lambda: tf.numpy_function(fill, [where], tf.int64), lambda: where)
        return tf.gather(images, tf.ensure_shape(there, (None,))), *(tf.gather(one, rows) for one in rest)

    passed = tf.data.Dataset.range(1).flat_map(portions)
    return passed.map(batch, num_parallel_calls=tf.data.AUTOTUNE)


def _usable(dataset: "ImageDataset") -> Held | None:
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
    return dataset if _usable(dataset) is None else tf_batches(dataset, lambda: dataset.epoch)
