"""The tasks: everything that depends on what a model predicts, one file per task.

A task owns the activation of the head, losses and metrics for training, how labels are split and matched, and how
predictions are evaluated, put into words and printed. A new task is a new file here and a line in the registry.
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.tasks._intervals import change_interval, matched_interval, mean_interval
    from kertl.tasks._losses import SmoothedCrossentropy, StandardizedError
    from kertl.tasks._metrics import LabelAccuracy, YesNoAccuracy, YesNoAUC, YesNoF1
    from kertl.tasks._one_class import both_classes, class_ids
    from kertl.tasks._registry import TASKS, loss_named, task_named
    from kertl.tasks._task import Answer, Task

__all__ = [
    "TASKS",
    "Answer",
    "LabelAccuracy",
    "SmoothedCrossentropy",
    "StandardizedError",
    "Task",
    "YesNoAUC",
    "YesNoAccuracy",
    "YesNoF1",
    "both_classes",
    "change_interval",
    "class_ids",
    "loss_named",
    "matched_interval",
    "mean_interval",
    "task_named",
]

# The names that each module defines.
_HOMES = {
    "._intervals": ("change_interval", "matched_interval", "mean_interval"),
    "._losses": ("SmoothedCrossentropy", "StandardizedError"),
    "._metrics": ("LabelAccuracy", "YesNoAccuracy", "YesNoAUC", "YesNoF1"),
    "._one_class": ("both_classes", "class_ids"),
    "._registry": ("TASKS", "loss_named", "task_named"),
    "._task": ("Answer", "Task"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)
