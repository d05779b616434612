"""What there is to say of a run, as the pages take it."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kertl.data import ImageData
from kertl.interpretation import Interpretation
from kertl.recipe import Recipe
from kertl.tasks import TASKS, Task

BEFORE_REFIT = (
    "The metrics of the validation set are from before the refit, in which the head was solved once more on the "
    "training and the validation images."
)


_WORDS = {
    "exact": "all labels right",
    "accuracy": "accuracy",
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "auc": "AUC",
    "crossentropy": "cross-entropy, nats",
    "majority": "always the largest class",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
}


def in_words(metric: str) -> str:
    """What a page calls a metric."""
    return _WORDS.get(metric, metric.replace("_", " "))


@dataclasses.dataclass(frozen=True)
class Story:
    """What there is to say of a run.

    Attributes:
        name: Its name.
        model: A line about the model.
        recipe: The recipe.
        rows: As in `kertl.Run`.
        metrics: As in `kertl.Run`.
        stages: The stages as dictionaries: number, at, epochs, value, note.
        best_stage: As in `kertl.Run`.
        reasons: Why the recipe was chosen, and what happened to it, one sentence each.
        environment: What environment.json has.
        command: What repeats the run.
        data: Its images, for pictures and counts; None if they are not at hand.
        interpretation: What `kertl.interpret` found; None if the images are not at hand.
        refit: As in `kertl.Run`.
        verdict: A diagnosis: its `sentence`, lines of `evidence`, and what to try as `code`; None without one.
    """

    name: str
    model: str
    recipe: Recipe
    rows: Sequence[dict[str, Any]]
    metrics: Mapping[str, Any]
    stages: Sequence[Mapping[str, Any]]
    best_stage: int
    reasons: Sequence[str]
    environment: Mapping[str, Any]
    command: str
    data: ImageData | None = None
    interpretation: Interpretation | None = None
    refit: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None

    @property
    def task(self) -> Task | None:
        """The task, by the metrics; None if there are none."""
        last = list(self.metrics.values())[-1:]
        return next(
            (one for one in TASKS.values() for found in last if set(one.part_columns.values()) <= found.keys()), None
        )

    def is_before_refit(self, part: str) -> bool:
        """Whether the metrics of a part are of a head that the model no longer has."""
        return part == "validation" and self.refit is not None
