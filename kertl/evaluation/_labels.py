"""Labels in a model's numbering: classes are matched by name, class ids are the numbers of its outputs."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.data import ImageDataset
from kertl.data._array_labels import read_labels
from kertl.model import model_info, task_of
from kertl.tasks import Task, task_named


def matched(model: keras.Model, dataset: ImageDataset) -> ImageDataset:
    """A dataset in data order with labels numbered like the classes of the model, which are matched by name.

    A model that does not know the names of its classes takes those of the data, in their order.

    Raises:
        DataError: If the data have a class that the model does not know, lack a target, or are of another task.
        ValueError: If there are no labels, or the model knows no names and has another number of outputs.
    """
    if dataset.labels is None:
        raise complain("data", "a dataset that has labels", dataset)
    info = model_info(model)
    names = info.class_names if info is not None and info.class_names else dataset.class_names
    task = task_named(task_of(model, dataset.task))
    labelled = dataset.relabelled(names, task.name)
    outputs = task.outputs(len(names))
    if model.output_shape[-1] != outputs:
        wanted = f"one output for the {task.most} classes" if task.most else f"one output per {task.output_of}"
        raise ValueError(
            f"`model` must have {wanted} of the data, {outputs} for {list(names)}. Received: {model.name!r} with "
            f"{model.output_shape[-1]} outputs. Build it with `class_names=`, so that classes can be matched by name."
        )
    return labelled


def truth_of(task: Task, y: Any, names: Sequence[str], size: int) -> np.ndarray:
    """Labels from an array, in the form of the task.

    Args:
        task: The task of the model.
        y: Names of classes, or class ids, which are the numbers of the model's outputs, also as one-hot rows; rows of
            0 and 1 for several labels; numbers for a regression.
        names: The classes or targets of the model.
        size: Number of images.

    Raises:
        DataError: If there are not as many labels as images, or they are not the task's.
    """
    y = np.asarray(y)
    if task.one_class:
        if y.ndim == 2 and y.shape[1] == len(names) and (np.sort(y, axis=1) == [0] * (len(names) - 1) + [1]).all():
            y = y.argmax(axis=1)
        if y.dtype.kind in "bf" and (y == np.rint(y)).all():
            y = y.astype(np.int64)
    elif y.shape[1:] != (len(names),) and not (y.ndim == 1 and len(names) == 1):
        accepted = f"of shape (images, {len(names)}), one column for each of {list(names)}"
        raise complain("y", accepted, y.shape)
    texts, labelling = read_labels(y, size, task.name, names)
    return labelling.array(texts)


def checked_predictions(model: keras.Model, predictions: Any, images: int | None = None) -> np.ndarray:
    """Predictions as an array, if a model can have made them.

    Args:
        model: The model.
        predictions: What somebody says it predicted.
        images: For how many images; None for any number.

    Raises:
        ValueError: If they are not finite numbers of shape `(images, outputs)`.
    """
    found, outputs = np.asarray(predictions), model.output_shape[-1]
    accepted = f"finite numbers of shape ({'images' if images is None else images}, {outputs})"
    if found.ndim != 2 or found.dtype.kind not in "fiu" or found.shape != (images or len(found), outputs):
        raise complain("predictions", accepted, found.shape if found.ndim else predictions)
    if not np.isfinite(found).all():
        raise complain("predictions", accepted, "NaN or infinity")
    return found
