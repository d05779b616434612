"""Examples that are held apart, on which a model is looked at while it trains."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.tasks import TASKS, Task, task_named

MOST = 200
"""Examples that are looked at."""


@dataclass(frozen=True)
class HeldExamples:
    """Examples to look at a model with while it trains; 200 are enough, and of more only so many are taken."""

    x: Any
    """What the model takes, with one row per example: an array, or a list of them."""
    y: np.ndarray
    """Labels, as the model is trained with."""
    pictures: np.ndarray | None = None
    """Pictures of the first 16 examples, 0..255, if `x` has none, such as features."""
    class_names: Sequence[str] = ()
    """Names of the outputs; numbers if there are none."""
    task: str | None = None
    """"single_label", "binary", "multi_label" or "regression"; None tells it from labels and predictions."""

    def task_for(self, predictions: np.ndarray) -> Task:
        """The task, told from labels and predictions if it is not known."""
        if self.task is not None:
            return task_named(self.task)
        y, outputs = np.asarray(self.y), predictions.shape[-1]
        yes_or_no = bool(np.isin(y, (0, 1)).all()) and float(predictions.min()) >= 0 and float(predictions.max()) <= 1
        if outputs > 1 and (y.size == len(y) or (yes_or_no and (y.sum(axis=-1) == 1).all())):
            return TASKS["single_label"]
        if not yes_or_no or y.size != predictions.size:
            return TASKS["regression"]
        return TASKS["binary" if outputs == 1 else "multi_label"]

    def names_for(self, task: Task, outputs: int) -> list[str]:
        """The names of classes or targets."""
        return list(self.class_names) or [str(number) for number in range(task.most or outputs)]


def spread(count: int, most: int = MOST) -> np.ndarray:
    """At most so many of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


def held_examples(given: Any, class_names: Sequence[str]) -> HeldExamples:
    """What a user gave to look at, in memory.

    Raises:
        ValueError: If it is none of what is accepted.
    """
    if callable(given) and not isinstance(given, keras.utils.PyDataset):
        given = given()
    if isinstance(given, tuple) and len(given) == 2:
        given = HeldExamples(*given, class_names=class_names)
    if isinstance(given, HeldExamples):
        count = len(given.y)
        rows = spread(count) if given.pictures is None else np.arange(min(count, MOST))
        x = keras.tree.map_structure(lambda array: np.asarray(array)[rows], given.x)
        return replace(given, x=x, y=np.asarray(given.y)[rows])
    if hasattr(given, "__getitem__") or hasattr(given, "__iter__"):
        return _from_batches(given, class_names)
    raise complain(
        "validation", "a pair of arrays, batches of examples and labels, or a function that gives them", given
    )


def _from_batches(given: Any, class_names: Sequence[str]) -> HeldExamples:
    """The first examples of some batches."""
    batches = (given[place] for place in range(len(given))) if hasattr(given, "__getitem__") else iter(given)
    taken: list[tuple[Any, Any]] = []
    for batch in itertools.islice(batches, MOST):
        x, y, *_ = batch
        taken.append((keras.tree.map_structure(np.asarray, x), np.asarray(y)))
        if sum(len(labels) for _, labels in taken) >= MOST:
            break
    if not taken:
        raise complain("validation", "at least one batch of examples and labels", given)
    x = keras.tree.map_structure(lambda *parts: np.concatenate(parts)[:MOST], *(part for part, _ in taken))
    return HeldExamples(x, np.concatenate([labels for _, labels in taken])[:MOST], class_names=class_names)
