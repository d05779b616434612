"""The result of a cross-validation."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from rich import box
from rich.table import Table

from kertl._checks import complain
from kertl.results import Result, table_text
from kertl.studies._picture import draw_folds


@dataclasses.dataclass(frozen=True)
class Fold:
    """One training, evaluated on the images that it did not see."""

    number: int
    """Counted from 0."""
    trained_on: int
    """Images that it was trained on."""
    judged_on: int
    """Images that it was evaluated on."""
    accuracy: float
    """Share of correct predictions on these."""
    balanced_accuracy: float
    """Mean over the classes of the share of their images that are predicted correctly."""
    crossentropy: float
    """Mean of minus the logarithm of the true class's probability, in nats."""
    history: tuple[dict[str, Any], ...] = ()
    """One mapping per epoch, as in `kertl.Run.rows`: stage, boundary, epoch and metrics; `val_` is of the fold."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CrossValidation(Result):
    """What `cross_validate` found.

    Its JSON has the out-of-fold predictions by file, rounded to six decimal places.

    Attributes:
        folds: The folds.
        files: The images, those of the training set and then those of the validation set.
        labels: Class id of each image.
        fold_of: For each image the fold that it is in.
        predictions: For each image the probabilities of the classes from the training that did not see it, shape
            `(images, classes)`.
        class_names: Name of each class id.
        extraction_seconds: Seconds for running the frozen prefix.
        training_seconds: Seconds for compiling, training and evaluating.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("mean", "standard_deviation", "majority")

    folds: tuple[Fold, ...]
    files: tuple[str, ...]
    labels: np.ndarray
    fold_of: np.ndarray
    predictions: np.ndarray
    class_names: tuple[str, ...]
    extraction_seconds: float
    training_seconds: float

    @property
    def mean(self) -> float:
        """Mean accuracy over the folds."""
        return float(np.mean([fold.accuracy for fold in self.folds]))

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the folds' accuracies, with one degree of freedom less than there are folds.

        The folds share training images, so this says how folds differ, not how certain the mean is.
        """
        return float(np.std([fold.accuracy for fold in self.folds], ddof=1))

    @property
    def majority(self) -> float:
        """Share of the images that the largest class has."""
        return float(np.bincount(self.labels).max() / len(self.labels))

    def table(self) -> str:
        """The folds as text."""
        table = Table(box=box.SIMPLE)
        for heading in ("fold", "trained on", "tested on", "accuracy", "balanced", "cross-entropy"):
            table.add_column(heading, justify="right")
        for fold in self.folds:
            scores = (fold.accuracy, fold.balanced_accuracy, fold.crossentropy)
            counts = (fold.number + 1, fold.trained_on, fold.judged_on)
            table.add_row(*map(str, counts), *(f"{score:.4f}" for score in scores))
        return table_text(table) + (
            f"Accuracy {self.mean:.4f}, standard deviation {self.standard_deviation:.4f}; "
            f"the largest class alone gives {self.majority:.4f}.\n"
            f"Extraction {self.extraction_seconds:.1f} s, {len(self.folds)} trainings {self.training_seconds:.1f} s."
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
        values = super().to_dict()
        rows = zip(self.files, self.labels, self.fold_of, self.predictions, strict=True)
        of_images = [
            {"file": file, "label": int(label), "fold": int(fold), "probabilities": _rounded(row)}
            for file, label, fold, row in rows
        ]
        return {**{name: value for name, value in values.items() if name not in _BY_FILE}, "predictions": of_images}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **left_out: Any) -> Self:
        """The cross-validation from what `to_dict` gave."""
        rows = values.get("predictions")
        if not isinstance(rows, list):
            accepted = "what `CrossValidation.to_dict` gives, with a list of predictions"
            raise complain("values", accepted, sorted(values))
        columns = {name: [row[key] for row in rows] for name, key in _BY_FILE.items()}
        return super().from_dict({**values, **columns}, **left_out)


# field -> its name in the row of a file
_BY_FILE = {"files": "file", "labels": "label", "fold_of": "fold", "predictions": "probabilities"}


def _rounded(row: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in row]
