"""`task_of`: the task of a model; one that knows it is not looked into, which needs no Keras."""

from typing import TYPE_CHECKING

from kertl._checks import named
from kertl.errors import ArgumentError
from kertl.model._info import model_info
from kertl.tasks import TASKS

if TYPE_CHECKING:
    import keras


def task_of(model: "keras.Model", expected: str | None = None) -> str:
    """The task of a model: what kertl noted about it, else what its last activation implies.

    Args:
        model: Any model.
        expected: The task of the data that it is used with. It counts if nothing is noted and the end of the model
            leaves it open: an end without any activation, or a linear one for a regression.

    Raises:
        ValueError: If the task cannot be told. A model from elsewhere that ends in a linear layer may be a regression
            or a classifier that gives logits; the prefix of a model has no task.
    """
    info = model_info(model)
    if info is not None:
        return info.task
    from kertl.model._outputs import last_activation, target_spreads

    activation = last_activation(model)
    if target_spreads(model) is not None:
        return "regression"
    if activation is not None:
        told = [task.name for task in TASKS.values() if task.told_by(activation, model.output_shape[-1])]
        if told:
            return told[0]
    if expected is not None and activation in (None, TASKS[expected].activation):
        return expected
    ends = "it ends in no activation" if activation is None else f"its last activation is {activation!r}"
    raise ArgumentError(
        f"The task of {named(model)} cannot be told: kertl has not built it, and {ends}. "
        f"A classifier must end in softmax (one class of several) or sigmoid. If it gives logits, or is a regression, "
        f"say so: `kertl.model.describe(model, task='single_label')`, or `--task` of `kertl evaluate` and `predict`.",
        code="task",
    )
