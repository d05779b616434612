"""Data that are already divided and batched, as a data set like any other."""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kertl import _checks
from kertl.data._array_labels import read_labels
from kertl.data._assemble import Entry, Options, assemble
from kertl.data._given import Given, Room, read
from kertl.data._image_data import ImageData
from kertl.data._labels import of_numbers
from kertl.data._readers import ArrayReader
from kertl.errors import DataError
from kertl.tasks import task_named

_logger = logging.getLogger(__name__)


def from_dataset(
    train: Any,
    *,
    validation: Any = None,
    test: Any = None,
    class_names: Sequence[str] | None = None,
    task: str = "single_label",
    image_size: tuple[int, int] | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    resize: str = "stretch",
    value_range: tuple[float, float] | None = None,
    channels: int = 3,
    strict: bool = False,
) -> ImageData:
    """Images and labels that you already have as arrays or in batches, each part given separately.

    Each part is read once and its images are held in memory, so that batch `i` of an epoch is a function of seed, epoch
    and `i` as everywhere in kertl. Random operations of a `tf.data.Dataset` therefore happen only once: leave
    augmentation to `kertl.Stage(augment=...)`. Since it may also shuffle, the images of a training `tf.data.Dataset`
    are sorted by their content, so that the order is the same in every process; all other parts keep their order.

    Args:
        train: The images to train on: arrays `(x, y)`, a finite and batched `tf.data.Dataset` of `(images, labels)`
            (what `keras.utils.image_dataset_from_directory` gives, for example), or a finite `keras.utils.PyDataset`.
            Images are of shape `(n, height, width, channels)`; floats are rounded. Labels are class ids from 0 on,
            one-hot rows, or class names; 0 and 1 for "binary"; rows of 0 and 1 for "multi_label";
            numbers for "regression".
        validation: The validation set, in one of these forms; None for none.
        test: The test set, in one of these forms; None for none.
        class_names: Names of the class ids, or of the columns of the labels; by default the `class_names` of the
            datasets, or numbers. The labels of a dataset with its own `class_names` are matched by name.
        task: "single_label", "binary" (two classes, the second of which is the positive one), "multi_label" or
            "regression".
        image_size: `(height, width)` to resize to; None keeps the size, which must then be the same for all images.
        batch_size: Images per batch, >= 1; None for as many as in the first batch of `train`, or 32 for arrays.
        seed: Seed of the order of training; >= 0.
        resize: `"stretch"`, `"pad"` or `"crop"`, see `read_image`.
        value_range: What is black and what is white in the images, as in `from_arrays`.
        channels: Channels of the images that the model is given, as in `from_arrays`; >= 1.
        strict: Whether any issue is an error, such as the same image in two parts.

    Returns:
        The data set; its files are called `train:<index>`, `validation:<index>` and `test:<index>`.

    Raises:
        DataError: If images or labels do not fit the description above or each other, a class has no training image,
            the images do not fit into half of the free memory, or `strict` and there is an issue.
        TypeError: If a part is of another kind.
        ValueError: If an argument is outside its range, or a part has no end.

    Example:
        >>> import kertl
        >>> import numpy as np
        >>> x = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
        >>> y = np.eye(2)[[0, 1] * 10]
        >>> data = kertl.data.from_dataset((x[:16], y[:16]), validation=(x[16:], y[16:]), class_names=["cat", "dog"])
        >>> data.train.num_examples, data.validation.num_examples, data.validation.labels.tolist()
        (16, 4, [0, 1, 0, 1])
    """
    per_batch = 32 if batch_size is None else batch_size
    options = Options(image_size, 0, 0, seed, per_batch, resize, None, strict, channels)
    task = task_named(task).name
    room = Room()
    given = {
        part: read(part, data, room, options.image_size, resize, channels, value_range)
        for part, data in (("train", train), ("validation", validation), ("test", test))
        if data is not None or part == "train"
    }
    _refuse_sizes(given)
    if batch_size is None:
        options = dataclasses.replace(options, batch_size=given["train"].batch_size or 32)
    names = _names(given, _checks.class_names(class_names), task)
    labels = [_labels(part, one, task, names) for part, one in given.items()]
    if len({array.dtype.kind in "UO" for array in labels}) > 1:
        raise DataError(
            "All parts must have class names as labels, or all class ids. Received: parts of both kinds.", code="labels"
        )
    texts, labelling = read_labels(_together(labels), sum(map(len, labels)), task, names)
    entries, places = _in_order(given, texts)
    images = np.concatenate([batch for one in given.values() for batch in one.batches])
    return assemble(
        entries,
        [],
        options,
        labelling=labelling,
        fractions={"train": 1.0, "validation": 0.0, "test": 0.0},
        reader_of=lambda rows: ArrayReader(images, resize, places[rows]),
        name_of=lambda row: entries[row].file,
    )


def _refuse_sizes(given: Mapping[str, Given]) -> None:
    sizes = {part: one.batches[0].shape[1:3] for part, one in given.items()}
    if len(set(sizes.values())) > 1:
        raise DataError(
            f"All parts must hold images of one size. Received: {sizes}. Pass `image_size=`.", code="image-shape"
        )


def _names(given: Mapping[str, Given], class_names: list[str] | None, task: str) -> list[str] | None:
    """All classes, where they have names: those given, or those of the first dataset that has some."""
    if class_names is not None:
        if len(set(class_names)) < len(class_names):
            raise _checks.complain("class_names", "a list of different names", class_names)
        return class_names
    if of_numbers(task):  # the folders that a dataset was made from are not targets
        return None
    return next((list(one.class_names) for one in given.values() if one.class_names), None)


def _labels(part: str, given: Given, task: str, names: list[str] | None) -> np.ndarray:
    """The labels of a part in the form that `read_labels` reads; class ids become names where names are known."""
    y, own = given.labels, given.class_names
    if task == "multi_label" and own and list(own) != names:
        raise DataError(
            f"`{part}` must have the classes {names}, in this order. Received: class_names={list(own)}.", code="labels"
        )
    if task == "multi_label" or of_numbers(task):
        return y
    y = _class_ids(part, y)
    known = own or names
    if known is None or y.ndim != 1 or y.dtype.kind not in "iu":
        return y
    if not (y.min() >= 0 and y.max() < len(known)):
        raise DataError(
            f"The labels of `{part}` must be class ids from 0 to {len(known) - 1}. Received: {y.min()} to {y.max()}.",
            code="labels",
        )
    return np.array(known)[y]


def _class_ids(part: str, y: np.ndarray) -> np.ndarray:
    """One-hot rows, and 0 and 1 as floats, as class ids; anything else is unchanged."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    numbers = y.dtype.kind in "biuf"
    if numbers and y.ndim == 2 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        _logger.info("The labels of `%s` are one-hot rows of %d classes.", part, y.shape[1])
        return y.argmax(axis=1)
    return y.astype(np.int64) if y.dtype.kind in "bf" and y.ndim == 1 and (y == np.rint(y)).all() else y


def _together(labels: Sequence[np.ndarray]) -> np.ndarray:
    shapes = [array.shape[1:] for array in labels]
    if len(set(shapes)) > 1:
        raise DataError(
            f"The labels of all parts must have one shape. Received: {shapes} after the number of images.",
            code="labels",
        )
    return np.concatenate(labels)


def _in_order(given: Mapping[str, Given], texts: Sequence[str]) -> tuple[list[Entry], np.ndarray]:
    """The images as entries in the order of the data set, and the position of each among those read."""
    entries: list[Entry] = []
    places: list[int] = []
    for part, one in given.items():
        start, count = len(entries), len(one.digests)
        order = list(range(count))
        if part == "train" and one.by_content:
            _logger.info(
                "`train` is a `tf.data.Dataset`, which may shuffle by itself: its images are read once and put "
                "in an order given by their content. The order of each epoch depends on `seed`."
            )
            order.sort(key=lambda row: (one.digests[row], texts[start + row]))
        entries += [
            Entry(f"{part}:{k}", texts[start + row], one.digests[row], split=part) for k, row in enumerate(order)
        ]
        places += [start + row for row in order]
    return entries, np.array(places)
