"""A head for the classes or targets of data, on a backbone or instead of a classifier's own."""

from typing import Any

import keras

from kertl._checks import complain
from kertl.data import ImageData
from kertl.groups import drawing_from, features_of, find_chain
from kertl.heads import Head
from kertl.model import UNITS_LAYER, head_answers, head_on, task_of
from kertl.tasks import task_named


def head_for(features: Any, data: ImageData, head: Head) -> Any:
    """The predictions, symbolic, of a head for the data, in the units of its targets."""
    task = task_named(data.task)
    return _in_units(head_answers(head, features, task.outputs(data.num_classes), task), data)


def with_head(model: keras.Model, data: ImageData, head: Head | None) -> keras.Model:
    """A model for the data, which shares the layers of `model`.

    Args:
        model: A backbone, or a classifier.
        data: The data it is trained for.
        head: The new head; None keeps a classifier's own, and gives a backbone a plain one.

    Raises:
        ValueError: If the classifier's own head does not fit the data.
    """
    if not isinstance(head, Head | None):
        raise complain("head", "a kertl.Head or None", head)
    if head is None and find_chain(model).has_head:
        outputs = task_named(data.task).outputs(data.num_classes)
        if model.output_shape[-1] != outputs or task_of(model, data.task) != data.task:
            raise complain(
                "model",
                f"a backbone, or a classifier with {outputs} outputs for the task {data.task!r}",
                model.name,
                f"It has {model.output_shape[-1]} for {task_of(model)!r}. Pass `head=kertl.Head()` for a new one.",
            )
        return model
    task = task_named(data.task)
    with drawing_from(0):
        inputs, answers = head_on(head or Head(), features_of(model), task.outputs(data.num_classes), task)
    return keras.Model(inputs, _in_units(answers, data), name=model.name)


def _in_units(answers: Any, data: ImageData) -> Any:
    if data.target_scaling is None:
        return answers
    means, spreads = (list(values) for values in data.target_scaling)
    return keras.layers.Rescaling(spreads, means, dtype="float32", name=UNITS_LAYER)(answers)
