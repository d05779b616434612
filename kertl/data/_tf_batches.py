"""The batches of a data set for TensorFlow, which gathers them by itself from images that are held in memory."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kertl.data._readers import ALIGNMENT
from kertl.errors import DataError
from kertl.hardware import replicas

if TYPE_CHECKING:
    import tensorflow as tf

    from kertl.data._dataset import ImageDataset


def tf_batches(dataset: "ImageDataset", epoch_of: Callable[[], int]) -> "tf.data.Dataset":
    """The batches of a data set as a `tf.data.Dataset`; batch i of a pass is `dataset.batch(epoch, i)`.

    Images that are held in memory are gathered by TensorFlow from there, in its own threads; Python only says which.
    Others come from `dataset.batch`.

    Args:
        dataset: The data set.
        epoch_of: Says at the beginning of a pass which epoch it is.
    """
    import tensorflow as tf

    shared = shared_images(dataset)

    def batches() -> Iterator[Any]:
        epoch = epoch_of()
        order = dataset.order(epoch)
        for index in range(len(dataset)):
            if shared is None:
                yield dataset.batch(epoch, index)
            else:
                yield _places(dataset, order[index * dataset.batch_size : (index + 1) * dataset.batch_size])

    pictures = tf.TensorSpec((None, *dataset.reader.shape), tf.uint8)
    first = pictures if shared is None else tf.TensorSpec((None,), tf.int64)
    signature: tuple[tf.TensorSpec, ...] = (first,)
    if (labels := dataset.labels) is not None:
        signature = (first, tf.TensorSpec((None, *labels.shape[1:]), tf.as_dtype(labels.dtype)))
    found = tf.data.Dataset.from_generator(batches, output_signature=signature)
    found = found.apply(tf.data.experimental.assert_cardinality(len(dataset)))
    if shared is not None:
        found = found.map(lambda places, *rest: (tf.gather(shared, places), *rest), num_parallel_calls=tf.data.AUTOTUNE)
    return found.prefetch(tf.data.AUTOTUNE)


def shared_images(dataset: "ImageDataset") -> Any:
    """The array that holds the images of a data set, as a tensor in the same memory; None if there is none such."""
    import tensorflow as tf

    held = dataset.reader.held(np.arange(0))
    if held is None:
        return None
    images = held[0]
    usable = images.flags.c_contiguous and images.flags.writeable and images.ctypes.data % ALIGNMENT == 0
    if not usable or images.dtype != np.uint8 or not images.size:
        return None
    return tf.experimental.dlpack.from_dlpack(images.__dlpack__())


def _places(dataset: "ImageDataset", rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where the images of a batch are, and their labels."""
    try:
        held = dataset.reader.held(rows)
    except DataError as error:
        dataset.failure = error
        raise
    assert held is not None
    places = held[1].astype(np.int64, copy=False)
    return (places,) if dataset.labels is None else (places, dataset.labels[rows])


def fit_input(dataset: Any) -> Any:
    """What to give `fit` for a data set whose `epoch` is set when an epoch begins: the batches in their quickest form.

    On TensorFlow, on one device, images that are held in memory come as `tf_batches`; all else is handed on as it is.
    """
    import keras

    from kertl.data._dataset import ImageDataset

    if not isinstance(dataset, ImageDataset) or keras.backend.backend() != "tensorflow" or replicas() > 1:
        return dataset
    return dataset if shared_images(dataset) is None else tf_batches(dataset, lambda: dataset.epoch)
