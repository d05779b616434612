"""`predict`: a model's predictions for images."""

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from kertl._checks import complain, integer
from kertl._terminal import traced_quietly
from kertl.data import data_errors
from kertl.data._scan import bombs_refused
from kertl.data._streamed import FileBatches
from kertl.evaluation._batches import ForeignBatches
from kertl.evaluation._form import check_asked, is_keras
from kertl.model import model_info, picture_shape

if TYPE_CHECKING:
    import keras

    from kertl.data import ImageDataset


def predict(
    model: "keras.Model",
    data: Any,
    *,
    part: str = "test",
    value_range: tuple[float, float] | None = None,
    views: int = 0,
    augment: Any = "light",
    seed: int = 0,
    preprocessing: "str | keras.layers.Layer | None" = None,
) -> np.ndarray:
    """The model's predictions for every image, in data order.

    Files, bytes and Pillow images are decoded as in training: at the model's size, resized in the model's way
    ("stretch" if it does not know one, which is logged). Each file is read once, or once for each version of a dataset.
    A dataset of kertl that was made in another way is made again from its files, which is logged too.

    Args:
        model: A model that takes pictures of 0..255.
        data: A dataset of `kertl.data`; an `ImageData`, of which `part` is used; an array of pictures of 0..255, one or
            a batch; a path of a file or folder; the bytes of an image file; a Pillow image; a list of these; a
            `tf.data.Dataset` or `keras.utils.PyDataset` of batches of such pictures, whose labels are ignored. A file
            given by name must be readable; in a folder, files that cannot be read are left out.
        part: "train", "validation" or "test".
        value_range: What is black and what is white in arrays and batches from elsewhere, as in
            `kertl.data.from_arrays`; None for 0..255.
        views: Test-time augmentation: the predictions for this many augmented versions of each image are averaged with
            the one for the image itself, which takes that much longer; >= 0.
        augment: How these versions vary, as in `kertl.Stage`.
        seed: Seed of these versions; >= 0.
        preprocessing: For a model from elsewhere, what its pixels went through before it, as in `kertl.model.describe`.
            None for what its graph or its architecture tells, which is logged. Floats, and batches that are not
            kertl's, are taken to be in its form already.

    Returns:
        Array of shape `(images, outputs)`: probabilities of the classes; for "binary" that of the second class; for
        "regression" the targets in their own units. `kertl.answers` puts them into words.

    Raises:
        DataError: If an image cannot be read, arrays do not hold 0..255, or images in memory were resized in another
            way than the model's.
        TypeError: If the model is subclassed or not built.
        WeightsError: If a weight of the model is NaN or infinite.
        ValueError: If an argument is outside its range, or the part is empty.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> kertl.predict(model, np.zeros((32, 32, 3), "uint8")).shape
        (1, 2)
    """
    model = preprocessed(model, preprocessing, data, value_range, views)
    refuse_broken(model)
    if isinstance(data, FileBatches):
        pictures: Any = data
    else:
        from kertl.evaluation._pictures import pictures_of

        pictures = pictures_of(model, data, part, value_range)
    return asked(model, pictures, views=views, augment=augment, seed=seed)[0]


def refuse_broken(model: Any) -> None:
    """Raise if a weight of a model is NaN or infinite; what only behaves like a model may have none.

    Raises:
        WeightsError: If so.
    """
    if getattr(model, "weights", ()):
        from kertl.backbones import refuse_nan

        refuse_nan(model)


def preprocessed(
    model: "keras.Model",
    preprocessing: "str | keras.layers.Layer | None",
    data: Any,
    value_range: tuple[float, float] | None,
    views: int,
) -> "keras.Model":
    """A model that can be asked, with preprocessing in front where it is given or told by the model, which is logged.

    Floats and batches that somebody else makes go to a model from elsewhere as they are.

    Raises:
        TypeError: If it is subclassed or not built.
        ValueError: If it has several inputs or outputs, takes channels first or no pictures, or has its preprocessing
            inside; or if versions are asked for of floats that go as they are.
    """
    check_asked(model)
    if not is_keras(model):
        return model
    from kertl._keras import kept_beside
    from kertl.groups import functional_of
    from kertl.model import with_preprocessing

    functional_of(model, pictures=True)
    if preprocessing is None and value_range is None and model_info(model) is None and _made_for_it(model, data):
        if views:
            advice = "Pass their `value_range`, or `preprocessing`."
            raise complain("views", "0 for floats that may be in the form that the model takes", views, advice)
        return model
    if model_info(model) is not None or not isinstance(preprocessing, str | None):
        return with_preprocessing(model, preprocessing)
    # One model for all calls: each new one would be traced anew.
    return kept_beside(model, "with_preprocessing", preprocessing, lambda: with_preprocessing(model, preprocessing))


def _made_for_it(model: "keras.Model", data: Any) -> bool:
    """Whether images may be in the model's own form: floats of its size and channels, or batches made elsewhere."""
    from kertl.data import ImageData, ImageDataset

    images = data[0] if isinstance(data, tuple) and len(data) == 2 else data
    if isinstance(images, ImageDataset | ImageData | FileBatches | str | Path | bytes | bytearray | Image.Image):
        return False
    if isinstance(images, list):
        return bool(images) and all(_made_for_it(model, image) for image in images)
    shape, dtype = getattr(images, "shape", None), getattr(images, "dtype", None)
    if shape is None or dtype is None:
        return True  # batches
    size, channels = picture_shape(model)
    fits = len(shape) >= 3 and size in (None, tuple(shape[-3:-1])) and channels in (None, shape[-1])
    return fits and "float" in str(dtype)


def asked(
    model: "keras.Model",
    pictures: "ImageDataset | ForeignBatches | FileBatches",
    *,
    views: int,
    augment: Any,
    seed: int,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Predictions, and the labels that came with the images, from one pass."""
    integer("views", views, at_least=0)
    integer("seed", seed, at_least=0)
    if views:
        from kertl.data import augment as augmentation

        if not augmentation.layers(augment, picture_shape(model)[1] or 3):
            raise complain("augment", "one that varies images, where `views` > 0", augment)
    if "keras" in sys.modules:  # an export answers without it
        from kertl.model import drop_compiled

        drop_compiled(model)
    if isinstance(pictures, ForeignBatches):
        return _ask_batches(model, pictures, views, augment, seed)
    if isinstance(pictures, FileBatches):
        return _ask_files(model, pictures, views, augment, seed), None
    from kertl.evaluation._versions import Varied

    versions = [pictures, *(Varied(pictures, augment, seed, version) for version in range(views))]
    with data_errors(pictures), traced_quietly():
        said = [model.predict(version, verbose=0) for version in versions]
    return np.mean(said, axis=0) if views else np.asarray(said[0]), pictures.labels


def _ask_batches(
    model: "keras.Model", batches: ForeignBatches, views: int, augment: Any, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    from kertl.data import augment as augmentation

    layers = augmentation.layers(augment) if views else []
    said, labels = [], []
    for number, (images, truth) in enumerate(batches):
        versions = [images, *(augmentation.varied(layers, images, (seed, view, number)) for view in range(views))]
        said.append(np.mean([_said(model, iter([(version,)])) for version in versions], axis=0))
        if truth is not None:
            labels.append(truth)
    if not said:
        raise complain("data", "a dataset of at least one batch", batches)
    return np.concatenate(said), np.concatenate(labels) if labels else None


def _ask_files(model: "keras.Model", batches: FileBatches, views: int, augment: Any, seed: int) -> np.ndarray:
    """Every version of a batch follows it, so that no file is read for it again."""
    sizes: list[int] = []

    def versions() -> Iterator[tuple[np.ndarray]]:
        vary = []
        if views:
            from kertl.evaluation._versions import Variation

            vary = [Variation(batches.shape, augment, seed)]
        for index, images in enumerate(batches):
            sizes.append(len(images))
            yield (images.astype(np.float32) if vary else images,)
            yield from ((one(images, view * len(batches) + index),) for one in vary for view in range(views))

    with data_errors(batches), bombs_refused():
        said = _said(model, versions())
    if not views:
        return said
    ends = np.cumsum(np.repeat(sizes, views + 1))[:-1]
    parts = np.split(said, ends)
    return np.concatenate([np.mean(parts[at : at + views + 1], axis=0) for at in range(0, len(parts), views + 1)])


@traced_quietly()
def _said(model: "keras.Model", versions: Iterator[tuple[np.ndarray]]) -> np.ndarray:
    """Predictions for all batches.

    `Model.predict` takes most of a second to begin with a generator, which counts where files come by the hundred. But
    only it divides a batch between replicas, to each of which `predict_on_batch` gives the whole.
    """
    if not is_keras(model):
        return np.concatenate([np.asarray(model.predict_on_batch(batch)) for (batch,) in versions])
    from kertl.hardware import replicas, scope_of

    with scope_of(model):
        if replicas() == 1:
            return np.concatenate([np.asarray(model.predict_on_batch(batch)) for (batch,) in versions])
    # Keras takes the end of a generator for a surprise.
    warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
    return np.asarray(model.predict(versions, verbose=0))
