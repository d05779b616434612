"""`predict`: a model's predictions for images."""

from typing import Any

import keras
import numpy as np

from kertl._checks import complain, integer
from kertl.callbacks import EpochSeeds
from kertl.data import ImageDataset, data_errors
from kertl.data import augment as augmentation
from kertl.evaluation._batches import ForeignBatches
from kertl.evaluation._pictures import check_asked, pictures_of
from kertl.model import describe, picture_shape


def predict(
    model: keras.Model,
    data: Any,
    *,
    part: str = "test",
    views: int = 0,
    augment: Any = "light",
    seed: int = 0,
    preprocessing: str | keras.layers.Layer | None = None,
) -> np.ndarray:
    """The model's predictions for every image, in data order.

    Files, bytes and Pillow images are decoded as in training: at the model's size, resized in the model's way
    ("stretch" if it does not know one, which is logged). A dataset of kertl that was made in another way is made again
    from its files, which is logged too.

    Args:
        model: A model that takes pictures of 0..255.
        data: A dataset of `kertl.data`; an `ImageData`, of which `part` is used; an array of pictures of 0..255, one or
            a batch; a path of a file or folder; the bytes of an image file; a Pillow image; a list of these; a
            `tf.data.Dataset` or `keras.utils.PyDataset` of batches of such pictures, whose labels are ignored. A file
            given by name must be readable; in a folder, files that cannot be read are left out.
        part: "train", "validation" or "test".
        views: Test-time augmentation: the predictions for this many augmented versions of each image are averaged with
            the one for the image itself, which takes that much longer; >= 0.
        augment: How these versions vary, as in `kertl.Stage`.
        seed: Seed of these versions; >= 0.
        preprocessing: For a model from elsewhere that takes no pictures of 0..255, as in `kertl.model.describe`.

    Returns:
        Array of shape `(images, outputs)`: probabilities of the classes; for "binary" that of the second class; for
        "regression" the targets in their own units. `kertl.answers` puts them into words.

    Raises:
        DataError: If an image cannot be read, arrays do not hold 0..255, or images in memory were resized in another
            way than the model's.
        TypeError: If the model is subclassed or not built.
        ValueError: If an argument is outside its range, or the part is empty.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> kertl.predict(model, np.zeros((32, 32, 3), "uint8")).shape
        (1, 2)
    """
    model = preprocessed(model, preprocessing)
    return asked(model, pictures_of(model, data, part), views=views, augment=augment, seed=seed)[0]


def preprocessed(model: keras.Model, preprocessing: str | keras.layers.Layer | None) -> keras.Model:
    """A model that can be asked, with preprocessing in front if that is given.

    Raises:
        TypeError: If it is subclassed or not built.
        ValueError: If it has several inputs or outputs, takes channels first, or has its preprocessing inside.
    """
    check_asked(model)
    return model if preprocessing is None else describe(model, preprocessing=preprocessing)


def asked(
    model: keras.Model, pictures: ImageDataset | ForeignBatches, *, views: int, augment: Any, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Predictions, and the labels that came with the images, from one pass."""
    integer("views", views, at_least=0)
    integer("seed", seed, at_least=0)
    if views and not augmentation.layers(augment, picture_shape(model)[1] or 3):
        raise complain("augment", "one that varies images, where `views` > 0", augment)
    if isinstance(pictures, ForeignBatches):
        return _ask_batches(model, pictures, views, augment, seed)
    versions = [pictures, *(_Varied(pictures, augment, seed, version) for version in range(views))]
    with data_errors(pictures):
        said = [model.predict(version, verbose=0) for version in versions]
    return np.mean(said, axis=0) if views else np.asarray(said[0]), pictures.labels


def _ask_batches(
    model: keras.Model, batches: ForeignBatches, views: int, augment: Any, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    layers = augmentation.layers(augment) if views else []
    said, labels = [], []
    for number, (images, truth) in enumerate(batches):
        versions = [images, *(augmentation.varied(layers, images, (seed, view, number)) for view in range(views))]
        said.append(np.mean([np.asarray(model.predict_on_batch(version)) for version in versions], axis=0))
        if truth is not None:
            labels.append(truth)
    if not said:
        raise complain("data", "a dataset of at least one batch", batches)
    return np.concatenate(said), np.concatenate(labels) if labels else None


class _Varied(keras.utils.PyDataset):
    """One augmented version of the images of a dataset; batch i is a function of (seed, version, i)."""

    def __init__(self, dataset: ImageDataset, augmented: Any, seed: int, version: int) -> None:
        super().__init__()
        self._dataset, self._first = dataset, version * len(dataset)
        self._layers = keras.Sequential([keras.Input(dataset.reader.shape), *augmentation.layers(augmented)])
        self._seeds = EpochSeeds(seed, [self._layers])

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Any]:
        images = self._dataset.batch(0, index)[0].astype(np.float32)
        self._seeds.on_epoch_begin(self._first + index)
        return (keras.ops.convert_to_numpy(self._layers(images, training=True)),)
