"""`evaluate`: how well a model does."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain, named, one_of
from kertl.backbones import refuse_nan
from kertl.data import ImageDataset
from kertl.evaluation._batches import ForeignBatches
from kertl.evaluation._intervals import intervals_of
from kertl.evaluation._labels import checked_predictions, matched, output_names, truth_of
from kertl.evaluation._pictures import labelled_folder, pictures_of
from kertl.evaluation._predict import asked, preprocessed
from kertl.evaluation._thresholds import thresholds_of
from kertl.model import count_trained_on, task_of
from kertl.tasks import task_named

_logger = logging.getLogger(__name__)


def evaluate(
    model: keras.Model,
    data: Any,
    *,
    part: str = "test",
    value_range: tuple[float, float] | None = None,
    predictions: np.ndarray | None = None,
    views: int = 0,
    augment: Any = "light",
    seed: int = 0,
    preprocessing: str | keras.layers.Layer | None = None,
    intervals: bool = False,
) -> dict[str, Any]:
    """How well a model does on images that it was not trained on.

    If some of the images are known to be among those that it was trained on, that is logged with their number: a model
    that `kertl.fine_tune` trained or that comes from a run directory knows them by their content.

    Classes are matched by name, never by position: those of the data may be in another order than the model's, and may
    be fewer. Images are resized to the model's size in the model's way, see `kertl.predict`.

    Args:
        model: A model whose task is that of the data, shape `(batch, outputs)`.
        data: An `ImageData`, of which `part` is evaluated, or one of its datasets; the path of a folder with one folder
            of images per class, of which `test` is evaluated if it is divided; a pair of arrays, images of 0..255
            and their labels; a `tf.data.Dataset` or `keras.utils.PyDataset` of batches of both. Class ids in arrays are
            the numbers of the model's outputs; so are those of a `tf.data.Dataset` without `class_names`, an attribute
            that `keras.utils.image_dataset_from_directory` sets and `map` loses.
        part: "train", "validation" or "test".
        value_range: As in `kertl.predict`.
        predictions: The result of `kertl.predict` for the same images, if you have it already.
        views: As in `kertl.predict`.
        augment: As in `kertl.predict`.
        seed: As in `kertl.predict`.
        preprocessing: As in `kertl.predict`.
        intervals: Whether to add `intervals`, the 95 % interval of each metric by its name: Wilson's of a share of the
            images (`accuracy`, or `exact` of several labels), else by bootstrap. Rankings (AUC and average precision)
            have none, nor has a metric that is the same for every draw, as where all images are predicted correctly.

    Returns:
        Always `images` (count), and if there are classes `missing_classes`, those of the model without an image. Means
        over the classes leave these out; a metric that is undefined is None.

        For "single_label": `accuracy`, `balanced_accuracy` (mean recall over the classes), `macro_f1`, `crossentropy`
        (mean, in nats), `majority` (share of the largest class, which is the accuracy of always predicting it),
        `classes` (precision, recall and count by name), and `confusion` (rows: truth, columns: prediction). For
        "binary" also `f1` (of the second class), `auc` and `thresholds`.

        For "multi_label": `exact` (share of images with all labels correct), `accuracy` (share of the single yes-or-no
        predictions that are correct), `micro_f1`, `macro_f1`, `auc` and `average_precision` (means over the classes),
        `crossentropy`, `thresholds`, and `classes` (precision, recall, f1, auc, average_precision and count by name).

        For "regression": `mae`, `rmse`, `r2` (means over the targets; always predicting the mean of the evaluated
        labels would score 0) and `targets` (the three by name).

    Raises:
        DataError: If the data have a class that the model does not know, lack a target, or are of another task, or
            images cannot be converted to the form that the model takes.
        TypeError: If the model is subclassed or not built.
        WeightsError: If a weight of the model is NaN or infinite.
        ValueError: If the part is empty, there are no labels, or the model knows no class names and has another number
            of outputs than the data have classes.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> pictures = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 4, validation=0, test=0)
        >>> sorted(kertl.evaluate(model, data, part="train"))[:3]
        ['accuracy', 'balanced_accuracy', 'classes']
    """
    one_of("intervals", intervals, (True, False))
    model = preprocessed(model, preprocessing, data, value_range, views)
    if predictions is None:
        refuse_nan(model)
    images, y = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    in_folder = isinstance(images, str | Path)
    pictures = labelled_folder(model, images) if in_folder else pictures_of(model, images, part, value_range)
    options: dict[str, Any] = {"views": views, "augment": augment, "seed": seed}
    if isinstance(pictures, ImageDataset) and y is None:
        labelled = matched(model, pictures)
        task, names, truth = task_named(labelled.task), labelled.class_names, np.asarray(labelled.labels)
        own: Sequence[str] | None = pictures.class_names
        said = asked(model, pictures, **options)[0] if predictions is None else predictions
    else:
        if predictions is None:
            said, labels = asked(model, pictures, **options)
        else:
            said, labels = predictions, pictures.labels
        y = labels if y is None else y
        if y is None:
            raise complain("data", "images with their labels", data)
        task = task_named(task_of(model))
        own = pictures.class_names if task.output_of == "class" and isinstance(pictures, ForeignBatches) else None
        names = output_names(model, own or None)
        truth = truth_of(task, y, names, len(said), own)
    said = checked_predictions(model, said, len(truth))
    _say_if_trained_on(model, pictures)
    asked_of = np.arange(len(names)) if task.one_class or not own else _places(own, names)
    thresholds = thresholds_of(model, said.shape[1])
    missing = _missing(task.members(truth, len(names)), names)
    if len(asked_of) < len(names):  # nobody has said whether images are of the other classes
        names, thresholds = [names[place] for place in asked_of], thresholds[asked_of]
        truth, said = truth[:, asked_of], said[:, asked_of]

    certainty = {"intervals": intervals_of(task, truth, said, names, thresholds)} if intervals else {}
    return {**task.judge(truth, said, names, thresholds), **missing, **certainty}


def _say_if_trained_on(model: keras.Model, pictures: Any) -> None:
    if isinstance(pictures, ImageDataset) and (count := count_trained_on(model, pictures)):
        _logger.warning(
            "%s was trained on %d of these %d images, on which it does better than on new ones. What counts are images "
            "that were held out, such as the test set of its run (the column split of data.csv).",
            named(model),
            count,
            pictures.num_examples,
        )


def _places(told: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """The places of those of the model's classes that labels tell of."""
    return np.array([place for place, name in enumerate(names) if name in told], int)


def _missing(members: np.ndarray | None, names: list[str]) -> dict[str, list[str]]:
    """The classes without an image, which are logged; nothing if there are no classes."""
    if members is None:
        return {}
    missing = [name for place, name in enumerate(names) if not members[:, place].any()]
    if missing:
        listed = ", ".join(map(repr, missing))
        _logger.warning("No image is of class %s; means over the classes leave it out.", listed)
    return {"missing_classes": missing}
