"""What a cross-validation came to."""

import dataclasses
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table


@dataclasses.dataclass(frozen=True)
class Fold:
    """One training, judged on the images that it was not given."""

    number: int
    """Counted from 0."""
    trained_on: int
    """Images that it was trained on."""
    judged_on: int
    """Images that it was judged on."""
    accuracy: float
    """Share of right answers on these."""
    balanced_accuracy: float
    """Mean over the classes of the share of their images that are answered rightly."""
    crossentropy: float
    """Mean of minus the logarithm of the right class's probability, in nats."""
    history: tuple[dict[str, Any], ...] = ()
    """One mapping per epoch, as in `kertl.Run.rows`: stage, boundary, epoch and metrics; `val_` is of the fold."""


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation:
    """What `cross_validate` found.

    Attributes:
        folds: The folds.
        files: The images, those of the training part and then those of the validation part.
        labels: Class id of each image.
        fold_of: For each image the fold that it was judged in.
        predictions: For each image the probabilities of the classes from the training that was not given it, shape
            `(images, classes)`.
        class_names: Name of each class id.
        extraction_seconds: What running the frozen prefix took.
        training_seconds: What compiling, training and judging took.
    """

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
        """Of the accuracies of the folds, with one degree of freedom less than there are folds.

        The folds share training images, so that this says how folds differ, not how sure the mean is.
        """
        return float(np.std([fold.accuracy for fold in self.folds], ddof=1))

    @property
    def majority(self) -> float:
        """Share of the images that the largest class has."""
        return float(np.bincount(self.labels).max() / len(self.labels))

    def table(self) -> str:
        """The folds as text."""
        table = Table(box=box.SIMPLE)
        for heading in ("fold", "trained on", "judged on", "accuracy", "balanced", "cross-entropy"):
            table.add_column(heading, justify="right")
        for fold in self.folds:
            scores = (fold.accuracy, fold.balanced_accuracy, fold.crossentropy)
            counts = (fold.number + 1, fold.trained_on, fold.judged_on)
            table.add_row(*map(str, counts), *(f"{score:.4f}" for score in scores))
        text = io.StringIO()
        Console(file=text, width=120, markup=False, highlight=False).print(table)
        return text.getvalue() + (
            f"Accuracy {self.mean:.4f}, standard deviation {self.standard_deviation:.4f}; "
            f"the largest class alone gives {self.majority:.4f}.\n"
            f"Extraction {self.extraction_seconds:.1f} s, {len(self.folds)} trainings {self.training_seconds:.1f} s."
        )

    def to_json(self) -> str:
        """All of it as JSON text, the out-of-fold predictions by file."""
        rows = zip(self.files, self.labels, self.fold_of, self.predictions, strict=True)
        values = {
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "majority": self.majority,
            "folds": [dataclasses.asdict(fold) for fold in self.folds],
            "class_names": list(self.class_names),
            "predictions": [
                {"file": file, "label": int(label), "fold": int(fold), "probabilities": _rounded(row)}
                for file, label, fold, row in rows
            ],
            "extraction_seconds": self.extraction_seconds,
            "training_seconds": self.training_seconds,
        }
        return json.dumps(values, indent=2, ensure_ascii=False)


def _rounded(row: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), 6) for value in row]
