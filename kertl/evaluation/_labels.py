"""Labels in a model's numbering: classes are matched by name, class ids are the numbers of its outputs."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kertl._checks import complain, named
from kertl.data._array_labels import label_array, read_labels
from kertl.data._labels import renumbered
from kertl.data._pixels import array_of
from kertl.errors import ArgumentError
from kertl.model import model_info, task_of
from kertl.tasks import Task, task_named

if TYPE_CHECKING:
    import keras

    from kertl.data import ImageDataset

_logger = logging.getLogger(__name__)


def matched(model: "keras.Model", dataset: "ImageDataset") -> "ImageDataset":
    """A dataset in data order with labels numbered like the classes of the model, which are matched by name.

    A model that does not know the names of its classes takes those of the data in their order, which is logged.

    Raises:
        DataError: If the data have a class that the model does not know, lack a target, or are of another task.
        ValueError: If there are no labels, or the model knows no names and has another number of outputs.
    """
    if dataset.labels is None:
        raise complain("data", "a dataset that has labels", dataset)
    names = output_names(model, dataset.class_names)
    task = task_named(task_of(model, dataset.task))
    labelled = dataset.relabelled(names, task.name)
    outputs = task.outputs(len(names))
    if model.output_shape[-1] != outputs:
        wanted = f"one output for the {task.most} classes" if task.most else f"one output per {task.output_of}"
        raise ArgumentError(
            f"`model` must have {wanted} of the data, {outputs} for {list(names)}. Received: {named(model)} with "
            f"{model.output_shape[-1]} outputs. Build it with `class_names=`, so that classes can be matched by name.",
            code="classes",
        )
    return labelled


def output_names(model: "keras.Model", own: Sequence[str] | None = None) -> list[str]:
    """The names of a model's classes or targets.

    Args:
        model: Any model.
        own: Those of the data, which are taken if the model does not know its own, which is logged; without them it has
            numbers.
    """
    info = model_info(model)
    if info is not None and info.class_names:
        return list(info.class_names)
    if own is None:
        return [str(number) for number in range(task_named(task_of(model)).most or model.output_shape[-1])]
    _logger.warning(
        "%r does not know the names of its classes, so those of the data are taken in their order: %s. "
        "`kertl.load` knows the names that `kertl.save` wrote; `keras.models.load_model` does not.",
        model.name,
        list(own),
    )
    return list(own)


def truth_of(task: Task, y: Any, names: Sequence[str], size: int, own: Sequence[str] | None = None) -> np.ndarray:
    """Labels from an array, in the form of the task, numbered like the classes of the model.

    Args:
        task: The task of the model.
        y: Names of classes, or class ids, also as one-hot rows; rows of 0 and 1 for several labels; numbers for a
            regression.
        names: The classes or targets of the model.
        size: Number of images.
        own: The classes in the order of the labels' ids, which are matched with `names` by name; None if the ids are
            the numbers of the model's outputs.

    Raises:
        DataError: If there are not as many labels as images, they are not the task's, or they have a class that the
            model does not know.
    """
    y, told = label_array(y), list(own or names)
    if task.one_class:
        if y.ndim == 2 and y.shape[1] == len(told) and (np.sort(y, axis=1) == [0] * (len(told) - 1) + [1]).all():
            y = y.argmax(axis=1)
        if y.dtype.kind in "bf" and (y == np.rint(y)).all():
            y = y.astype(np.int64)
    elif y.shape[1:] != (len(told),) and not (y.ndim == 1 and len(told) == 1):
        accepted = f"of shape (images, {len(told)}), one column for each of {told}"
        raise complain("y", accepted, y.shape)
    form = "single_label" if own and task.one_class else task.name
    texts, labelling = read_labels(y, size, form, told)
    labels = labelling.array(texts)
    return renumbered(labels, form, told, task.name, names) if own else labels


def checked_predictions(model: "keras.Model", predictions: Any, images: int | None = None) -> np.ndarray:
    """Predictions as an array, if a model can have made them.

    Args:
        model: The model.
        predictions: What somebody says it predicted.
        images: For how many images; None for any number.

    Raises:
        ValueError: If they are not finite numbers of shape `(images, outputs)`, or some are masked.
    """
    found, outputs = array_of("predictions", predictions), model.output_shape[-1]
    accepted = f"finite numbers of shape ({'images' if images is None else images}, {outputs})"
    if found.ndim != 2 or found.dtype.kind not in "fiu" or found.shape != (images or len(found), outputs):
        raise complain("predictions", accepted, found.shape if found.ndim else predictions)
    if not np.isfinite(found).all():
        raise complain("predictions", accepted, "NaN or infinity")
    return found
