"""The images of a domain: in any form that `predict` takes, as what features are extracted from."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.data import ImageData, ImageDataset, images
from kertl.data._readers import ArrayReader
from kertl.data._streamed import FileBatches
from kertl.errors import DataError
from kertl.evaluation import part_to_evaluate, pictures_of, resize_of
from kertl.evaluation._batches import ForeignBatches
from kertl.model import picture_shape

FEWEST = 10
"""Images of a domain, below which nothing is said about it."""


def domain_images(argument: str, model: keras.Model, data: Any, *, part: str | None = "all") -> ImageDataset:
    """The images of a domain in data order, as the model takes them.

    Args:
        argument: What the caller calls the images, for messages.
        model: The model.
        data: An `ImageData`, a part of one, an array, files, or a `tf.data.Dataset` or `keras.utils.PyDataset`.
        part: Of an `ImageData`; "all" joins its parts.

    Returns:
        The images; those of batches from elsewhere are read into memory, without labels.

    Raises:
        DataError: If there are fewer than 10 images, or they cannot be read or have other channels than the model
            takes.
    """
    size, channels = picture_shape(model)
    if isinstance(data, ImageData):
        data = part_to_evaluate(data, part)[0]
    given = getattr(data, "channels", None)
    if isinstance(data, ImageDataset) and channels not in (None, given):
        raise DataError(
            f"`{argument}` must have images of {channels} channels, as {model.name!r} takes them. "
            f"Received: channels={given}. Make it with `channels={channels}`."
        )
    found: Any
    if isinstance(data, str | Path) or _all_paths(data):
        if size is None:
            raise complain("model", "one that takes pictures of one size, to decode files for it", model.name)
        found = images(data, image_size=size, resize=resize_of(model), channels=channels or 3)
    else:
        found = pictures_of(model, data, "train")
    if isinstance(found, ForeignBatches):
        found = _in_memory(found)
    if isinstance(found, FileBatches):
        found = images(found.files, image_size=found.shape[:2], resize=resize_of(model), channels=found.shape[2])
    refuse_few(argument, found.num_examples)
    dataset: ImageDataset = found.in_order()
    return dataset


def _in_memory(batches: ForeignBatches) -> ImageDataset:
    pictures = np.concatenate([pictures for pictures, _ in batches])
    return ImageDataset(ArrayReader(pictures), None, [f"image {number}" for number in range(len(pictures))])


def refuse_few(argument: str, count: int, fewest: int = FEWEST) -> None:
    """Raise if a domain has so few images that nothing can be said about it."""
    if count < fewest:
        raise DataError(
            f"`{argument}` must have at least {fewest} images, since means and covariances are estimated of them. "
            f"Received: {count}."
        )


def _all_paths(data: Any) -> bool:
    return isinstance(data, list | tuple) and bool(data) and all(isinstance(one, str | Path) for one in data)
