"""The tasks by name, and their losses."""

from collections.abc import Sequence
from typing import Any

from kertl._checks import complain, one_of
from kertl.tasks._binary import Binary
from kertl.tasks._multi_label import MultiLabel
from kertl.tasks._regression import Regression
from kertl.tasks._single_label import SingleLabel
from kertl.tasks._task import Task

TASKS: dict[str, Task] = {task.name: task for task in (SingleLabel(), Binary(), MultiLabel(), Regression())}


def task_named(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: If there is none.
    """
    return TASKS[one_of("task", name, TASKS)]


def loss_named(task: Task, name: Any, *, smoothing: float = 0.0, spreads: Sequence[float] | None = None) -> Any:
    """The loss that a stage names, for `compile`.

    Args:
        task: The task.
        name: "auto", "focal", "mse", "mae", "huber", or a name in Keras' registry, as `kertl.Stage` has them.
        smoothing: Label smoothing, for cross-entropies; 0 <= smoothing < 1.
        spreads: Standard deviation of each target, for a regression.

    Raises:
        ValueError: If the loss does not go with the task, or nothing is registered under that name.

    Example:
        >>> from kertl.tasks import loss_named, task_named
        >>> loss_named(task_named("single_label"), "focal").focus
        2.0
    """
    if name == "auto":
        return task.loss(smoothing, spreads)
    if ">" in name:
        import keras

        from kertl.tasks import _losses  # noqa: F401, which registers kertl's own

        found = keras.saving.get_registered_object(name)
        if found is None:
            raise complain("loss", "registered with Keras", name, "Import the module that registers it first.")
        return found() if isinstance(found, type) else found
    if name not in task.losses:
        accepted = " or ".join(map(repr, ("auto", *task.losses)))
        raise complain("loss", f"{accepted} for the task {task.name!r}", name)
    return task.losses[name](smoothing, spreads)
