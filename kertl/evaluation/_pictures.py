"""The images to predict on: in any form, converted to the form that the model takes."""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from kertl import _checks
from kertl._checks import complain, one_of
from kertl.data import ImageData, ImageDataset, from_directory, joined, read_image
from kertl.data._array_files import refuse_other_channels
from kertl.data._pixels import AS_FLOATS, Levels, array_of
from kertl.data._readers import ArrayReader, resized
from kertl.data._streamed import FileBatches
from kertl.errors import DataError
from kertl.evaluation._batches import ForeignBatches, is_py_dataset
from kertl.evaluation._form import form_of, images_for, resize_of
from kertl.model import model_info, picture_shape

if TYPE_CHECKING:
    import keras

_logger = logging.getLogger(__name__)
_PARTS = ("train", "validation", "test")
_FORMS = (
    "a part of `kertl.data`, an ImageData, an array of images, a path, the bytes of an image file, a Pillow image, a "
    "list of these, a tf.data.Dataset or a keras.utils.PyDataset"
)


def pictures_of(
    model: "keras.Model", data: Any, part: str, value_range: tuple[float, float] | None = None
) -> ImageDataset | ForeignBatches | FileBatches:
    """The images in data order, as the model takes them, with the labels that came with them.

    Args:
        model: The model.
        data: See `kertl.predict`.
        part: Of an `ImageData`.
        value_range: What is black and what is white in arrays, see `kertl.predict`.

    Raises:
        DataError: If images cannot be read or converted to the form that the model takes.
        ValueError: If `data` has no known form, or the part is empty.
    """
    levels = Levels("data", value_range)
    if isinstance(data, ImageData):
        data = _part(data, part)
    if isinstance(data, FileBatches):
        return data
    if isinstance(data, ImageDataset):
        return _as_taken(model, data.in_order())
    tensorflow = sys.modules.get("tensorflow")
    if is_py_dataset(data) or (tensorflow and isinstance(data, tensorflow.data.Dataset)):
        return ForeignBatches(data, lambda x: _fitted(model, x, levels)[0])
    if isinstance(data, str | Path):
        return images_for(model, _checks.paths("data", data))
    if isinstance(data, bytes | bytearray | Image.Image):
        return _decoded(model, [data], levels)
    if hasattr(data, "__array__"):
        return _from_array(model, array_of("data", data), levels)
    if isinstance(data, Sequence) and len(data):
        return _from_list(model, data, levels)
    raise complain("data", _FORMS, data)


def labelled_folder(model: "keras.Model", folder: str | Path) -> ImageDataset:
    """The images of a folder with one folder per class, at the size of a model and resized in its way.

    If it is divided into `train`, `test` and the like, those of `test`, or all if there are none.

    Raises:
        DataError: If there is no such folder, or it has no images in folders.
    """
    options: dict[str, Any] = {**form_of(model), "validation": 0, "test": 0}
    return part_to_evaluate(from_directory(folder, **options))[0]


def part_to_evaluate(data: ImageData, part: str | None = None) -> tuple[ImageDataset, str]:
    """The images of a part in data order, and its name.

    Args:
        data: The images.
        part: "train", "validation", "test", or "all" for all of them; None for the test set, or all if there is none.

    Raises:
        ValueError: If the part has no images.
    """
    part = part or ("test" if data.test is not None else "all")
    if part != "all":
        return _part(data, part).in_order(), part
    parts = [one for one in (data.train, data.validation, data.test) if one is not None]
    return joined([one.in_order() for one in parts]), part


def _part(data: ImageData, part: str) -> ImageDataset:
    """The images of one part, at least one."""
    one_of("part", part, _PARTS)
    found: ImageDataset | None = getattr(data, part)
    if found is None:
        there = " or ".join(repr(name) for name in _PARTS if getattr(data, name) is not None)
        raise complain("part", f"a part that has images, {there}", part, f"Make the data with `{part}=0.15`, say.")
    return found


def _as_taken(model: "keras.Model", dataset: ImageDataset) -> ImageDataset:
    """A dataset of kertl with its images resized to the model's size in the model's way."""
    info, fitted = model_info(model), dataset.reader.fitted
    size, channels = picture_shape(model)
    size, channels = size or dataset.image_size, channels or dataset.channels
    resize = info.resize if info is not None and fitted is not None else None
    if (size, channels) == (dataset.image_size, dataset.channels) and resize in (None, fitted):
        return dataset
    changed = dataset.changed(image_size=size, resize=resize, channels=channels)
    _logger.warning(
        "The images are made again as %r takes them: size %s, channels=%s and resize=%r, instead of %s, %s and %r.",
        model.name,
        size,
        channels,
        changed.reader.fitted,
        dataset.image_size,
        dataset.channels,
        fitted,
    )
    return changed


def _from_list(model: "keras.Model", data: Sequence[Any], levels: Levels) -> ImageDataset | FileBatches:
    items = list(data)
    if all(isinstance(item, str | Path) for item in items):
        return images_for(model, _checks.paths("data", items))
    arrays = [item for item in items if hasattr(item, "__array__") and not isinstance(item, Image.Image)]
    if len(arrays) == len(items) and len({np.shape(item) for item in items}) == 1:
        return _from_array(model, np.stack([array_of("data", item) for item in items]), levels)
    return _decoded(model, items, levels)


def _decoded(model: "keras.Model", items: Sequence[Any], levels: Levels) -> ImageDataset:
    """Images of any size, each decoded or resized."""
    form = form_of(model)

    def pixels(number: int, item: Any) -> np.ndarray:
        if isinstance(item, str | Path | bytes | bytearray | Image.Image):
            return read_image(item, **form)
        if hasattr(item, "__array__"):
            image = levels.as_bytes(array_of("data", item)[None], first=number)
            levels.judge()
            return _in_form(image, **form)[0]
        raise complain("data", _FORMS, item)

    return _dataset(np.stack([pixels(number, item) for number, item in enumerate(items)]), form["resize"])


def _from_array(model: "keras.Model", x: np.ndarray, levels: Levels) -> ImageDataset:
    """One image or several."""
    if x.ndim == 2:
        x = x[..., None]
    return _dataset(*_fitted(model, x[None] if x.ndim == 3 else x, levels))


def _fitted(model: "keras.Model", x: np.ndarray, levels: Levels) -> tuple[np.ndarray, str | None]:
    """Images of shape `(n, height, width, channels)` as a model takes them, and how they were resized, if they were."""
    size, channels = picture_shape(model)
    if x.dtype.kind == "f" and x.dtype.itemsize > 8:
        x = x.astype(np.float64)  # Keras has no longer floats
    if x.ndim == 4 and x.size and size in (None, x.shape[1:3]) and channels in (None, x.shape[-1]):
        takes_pixels = model_info(model) is not None or getattr(model, "takes_pixels", False)
        if not takes_pixels and levels.unknown:  # a model from elsewhere may take another range
            _refuse_no_numbers(x)
            return x, None
        levels.check(x)
        levels.judge()
        return levels.scaled(x), None
    pixels = levels.as_bytes(x)
    levels.judge()
    resize = resize_of(model)
    return _in_form(pixels, size, resize, channels or x.shape[-1]), resize


def _refuse_no_numbers(x: np.ndarray) -> None:
    if x.dtype.kind not in "fiu":
        raise DataError(f"`data` must hold numbers. Received: dtype {x.dtype}. {AS_FLOATS}", code="image-values")
    broken = np.flatnonzero(~np.isfinite(x).all(axis=(1, 2, 3)))
    if len(broken):
        raise DataError(
            f"`data` must hold numbers. Received: NaN or infinity in image {broken[0]}.", code="image-values"
        )


def _in_form(pixels: np.ndarray, image_size: tuple[int, int] | None, resize: str, channels: int) -> np.ndarray:
    """Images in memory at that size and in that many channels."""
    refuse_other_channels(pixels.shape, channels, "data")
    return resized(pixels, image_size, resize, channels)


def _dataset(x: np.ndarray, fitted: str | None) -> ImageDataset:
    return ImageDataset(ArrayReader(x, fitted=fitted), None, [f"array:{k}" for k in range(len(x))])
