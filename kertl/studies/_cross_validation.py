"""The result of a cross-validation."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from rich import box
from rich.table import Table

from kertl._checks import complain
from kertl.results import Result, plain, table_text
from kertl.studies._folds import absent_classes
from kertl.studies._picture import draw_folds
from kertl.tasks import task_named

_FALLEN = 0.95


@dataclasses.dataclass(frozen=True)
class Fold:
    """One training, evaluated on the images that it did not see."""

    number: int
    """Counted from 0."""
    trained_on: int
    """Images that it was trained on."""
    judged_on: int
    """Images that it was evaluated on."""
    metrics: dict[str, Any]
    """Metrics on these, as `kertl.evaluate` gives them for a part, without those of single classes or targets."""
    history: tuple[dict[str, Any], ...] = ()
    """One mapping per epoch, as in `kertl.Run.rows`: stage, boundary, epoch and metrics; `val_` is of the fold."""

    @property
    def unfinished(self) -> bool:
        """Whether the validation loss of the last stage is lowest at its end, and 5 % or more below its middle.

        Not its last epochs alone: a schedule that ends at a rate of zero lets every loss settle.
        """
        losses = [row["val_loss"] for row in self.history if row["stage"] == self.history[-1]["stage"]]
        return len(losses) > 3 and losses[-1] == min(losses) and losses[-1] < _FALLEN * losses[len(losses) // 2]

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions; None for "regression"."""
        return self.metrics.get("accuracy")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CrossValidation(Result):
    """What `cross_validate` found.

    Its JSON has the out-of-fold predictions by file, rounded to seven digits.

    Attributes:
        folds: The folds.
        files: The images, those of the training set and then those of the validation set.
        labels: Class id of each image, shape `(images,)`; for "multi_label" and "regression" its labels or targets,
            shape `(images, classes)` or `(images, targets)`.
        fold_of: For each image the fold that it is in.
        predictions: For each image the probabilities of the classes, or the targets, from the training that did not see
            it, shape `(images, classes)` or `(images, targets)`.
        class_names: Name of each class or target.
        extraction_seconds: Seconds for running the frozen prefix.
        training_seconds: Seconds for compiling, training and evaluating.
        task: What the model predicts, such as "single_label".
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("mean", "standard_deviation", "majority", "unfinished", "absent")

    folds: tuple[Fold, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    fold_of: np.ndarray
    predictions: np.ndarray
    class_names: tuple[str, ...]
    extraction_seconds: float
    training_seconds: float
    task: str

    @property
    def scores(self) -> tuple[float, ...]:
        """The score of each fold.

        That is the accuracy, for "multi_label" that of the answers for each class, for "regression" the mean absolute
        error.
        """
        score = task_named(self.task).score
        return tuple(fold.metrics[score] for fold in self.folds)

    @property
    def mean(self) -> float:
        """Mean score of the folds."""
        return float(np.mean(self.scores))

    @property
    def unfinished(self) -> str | None:
        """What to do if the trainings of more than half of the folds ended too early; None if they did not."""
        early = [fold for fold in self.folds if fold.unfinished]
        if 2 * len(early) <= len(self.folds):
            return None
        stage = early[0].history[-1]["stage"]
        epochs = sum(row["stage"] == stage for row in early[0].history)
        return (
            f"The validation loss was still falling at the end of {epochs} epochs in {len(early)} of "
            f"{len(self.folds)} folds, so more epochs would probably improve the scores: train longer "
            f"(`kertl.Stage(..., epochs={2 * epochs})`, on the command line `--epochs {2 * epochs}`), or solve a head "
            f'alone (`kertl.Stage("deep", solver="exact")`, `--stage solver=exact`).'
        )

    @property
    def absent(self) -> str | None:
        """Which folds have no image of which classes, so that they tell nothing about them; None if all have all."""
        members = task_named(self.task).members(self.labels, len(self.class_names))
        return None if members is None else absent_classes(members, self.fold_of, self.class_names)

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the folds' scores, with one degree of freedom less than there are folds.

        The folds share training images, so this says how folds differ, not how certain the mean is.
        """
        return float(np.std(self.scores, ddof=1))

    @property
    def majority(self) -> float:
        """The score of the best answer that is the same for all images.

        That is the largest class, the more frequent answer for each class, or the median of each target.
        """
        return task_named(self.task).constant_score(self.labels)

    def table(self) -> str:
        """The folds as text."""
        task = task_named(self.task)
        columns = {heading: key for heading, key in task.part_columns.items() if key in self.folds[0].metrics}
        if task.score not in columns.values():
            columns = {task.score: task.score, **columns}
        table = Table(box=box.SIMPLE)
        for heading in ("fold", "trained on", "tested on", *columns):
            table.add_column(heading, justify="right")
        for fold in self.folds:
            counts = (fold.number + 1, fold.trained_on, fold.judged_on)
            table.add_row(*map(str, counts), *(_cell(fold.metrics[key]) for key in columns.values()))
        score = next((heading for heading, key in columns.items() if key == task.score), task.score)
        return table_text(table) + (
            f"{score[0].upper()}{score[1:]} {_cell(self.mean)}, standard deviation {_cell(self.standard_deviation)}; "
            f"{task.constant} alone gives {_cell(self.majority)}.\n"
            f"Extraction {self.extraction_seconds:.1f} s, {len(self.folds)} trainings {self.training_seconds:.1f} s."
            + "".join(f"\n{one}" for one in (self.unfinished, self.absent) if one)
        )

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the accuracy of each fold, and the confusion matrix of the out-of-fold predictions.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        return draw_folds(self, path)

    def to_dict(self) -> dict[str, Any]:
        """All of it, the out-of-fold predictions by file."""
        values, keys = super().to_dict(), _by_file(self.task)
        columns = (plain(self.files), plain(self.labels), plain(self.fold_of), map(_rounded, self.predictions))
        of_images = [dict(zip(keys.values(), row, strict=True)) for row in zip(*columns, strict=True)]
        return {**{name: value for name, value in values.items() if name not in keys}, "predictions": of_images}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **left_out: Any) -> Self:
        """The cross-validation from what `to_dict` gave."""
        rows = values.get("predictions")
        if not isinstance(rows, list):
            accepted = "what `CrossValidation.to_dict` gives, with a list of predictions"
            raise complain("values", accepted, sorted(values))
        columns = {name: [row[key] for row in rows] for name, key in _by_file(values["task"]).items()}
        return super().from_dict({**values, **columns}, **left_out)


def _by_file(task: str) -> dict[str, str]:
    """Field -> its name in the row of a file."""
    predicted = "targets" if task_named(task).output_of == "target" else "probabilities"
    return {"files": "file", "labels": "label", "fold_of": "fold", "predictions": predicted}


def _rounded(row: Sequence[float] | np.ndarray) -> list[float]:
    return [float(f"{value:.7g}") for value in row]


def _cell(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}" if 1e-3 <= abs(score) < 1e5 or score == 0 else f"{score:.4g}"
