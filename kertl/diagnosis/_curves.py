"""What is diagnosed: the columns of a history, and what is known of the training besides."""

import dataclasses
from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np

from kertl._checks import complain
from kertl.recipe import Recipe

INFERENCE = "inference_"
"""Prefix of metrics of training images in inference mode, as `kertl.callbacks.Diagnose` adds them."""
_TEXT = ("at",)
_NOT_MEASURED = ("stage", "epoch", "learning_rate", "lr")


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of a training besides its curves; None is not known."""

    task: str | None = None
    """Name of the task."""
    classes: int | None = None
    """Number of classes of which each image has one."""
    validation_images: int | None = None
    """Number of validation images."""
    majority: float | None = None
    """Share of the validation images that the largest class has."""
    baseline: float | None = None
    """The loss of always predicting the mean of the targets, or the shares of the classes."""
    recalls: tuple[float, ...] = ()
    """For each class the share of its validation images that the model finds."""
    validation_accuracy: float | None = None
    """Accuracy of the model on the validation set."""
    test_accuracy: float | None = None
    """Accuracy of the model on the test set."""
    test_images: int | None = None
    """Number of test images."""
    validation_error: float | None = None
    """In a regression, the error on the validation set, in units of the target."""
    test_error: float | None = None
    """The same on the test set."""
    recipe: Recipe | None = None
    """The recipe of the run."""
    rows_left_out: int = 0
    """Number of rows of a log that are not judged, since their epochs were trained again later."""


class Curves:
    """The columns of a history, an entry per epoch.

    Args:
        columns: Numbers by column; `loss` is needed, the others may be missing. NaN stands for what was not measured.
        name: The argument that they come from, for errors.
        validated: Whether each epoch ended with a validation, whose loss may be NaN; by default all did, if any has a
            validation loss.

    Raises:
        ValueError: If there is no epoch, no `loss`, a column of another length, or one that does not hold numbers.
    """

    def __init__(
        self, columns: Mapping[str, Sequence[Any]], name: str = "history", validated: np.ndarray | None = None
    ) -> None:
        for column, values in columns.items():
            if not isinstance(values, Sized):
                raise complain(name, f"a history with a list of numbers in the column {str(column)!r}", values)
        lengths = {str(column): len(values) for column, values in columns.items()}
        if "loss" not in lengths:
            advice = "Pass what `fit` returns, a log of keras.callbacks.CSVLogger, or a run directory."
            raise complain(name, "a history with the column 'loss'", sorted(lengths), advice)
        if not lengths["loss"]:
            raise complain(name, "a history of at least one epoch", "no epoch", "Wait until the first epoch has ended.")
        self.columns: dict[str, np.ndarray] = {}
        for column, values in columns.items():
            if column in _TEXT:
                continue
            if len(values) != lengths["loss"]:
                received = f"{len(values)} of {column!r} and {lengths['loss']} of 'loss'"
                raise complain(name, "a history with as many values in each column", received)
            self.columns[str(column)] = _numbers(name, str(column), values)
        if validated is None:
            validated = np.full(lengths["loss"], any(value is not None for value in columns.get("val_loss", ())))
        self.validated = validated

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]], name: str = "rows") -> "Curves":
        """The same from one mapping per epoch, in which what another epoch has may be missing."""
        names = dict.fromkeys(column for row in rows for column in row)
        validated = np.array([row.get("val_loss") not in (None, "") for row in rows], bool)
        return cls({column: [row.get(column) for row in rows] for column in names} or {"loss": []}, name, validated)

    def __len__(self) -> int:
        return len(self.columns["loss"])

    def column(self, name: str) -> np.ndarray | None:
        """A column; None if it is missing or nothing of it was measured."""
        found = self.columns.get(name)
        return None if found is None or np.isnan(found).all() else found

    def rows_of(self, chosen: np.ndarray) -> "Curves":
        """Some of the epochs."""
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return Curves(columns, validated=self.validated[chosen])

    def last_training(self) -> "Curves":
        """The epochs in their order, each as it was trained last; those of a run, which has stages, as they are.

        A log to which a second training was appended has its epochs twice. Where they begin anew in the middle, as
        after a resumption, the epochs before stay.
        """
        epochs = self.columns.get("epoch")
        if epochs is None or "stage" in self.columns or not np.isfinite(epochs).all():
            return self
        kept: dict[float, int] = {}
        for row, epoch in enumerate(epochs.tolist()):
            if epoch in kept:
                kept = {other: place for other, place in kept.items() if other < epoch}
            kept[epoch] = row
        return self.rows_of(np.array([kept[epoch] for epoch in sorted(kept)]))

    @property
    def stages(self) -> np.ndarray:
        """The stage of each epoch, counted from 0."""
        found = self.columns.get("stage")
        return np.zeros(len(self), int) if found is None else found.astype(int)

    @property
    def rates(self) -> np.ndarray | None:
        """The learning rate of each epoch; None if it is not known."""
        found = self.column("learning_rate")
        return self.column("lr") if found is None else found

    @property
    def accuracy(self) -> str | None:
        """The name of a share of correct predictions that training and validation have; None if there is none."""
        return next((one for one in self.columns if "acc" in one and self._paired(one) and self._share(one)), None)

    @property
    def gradient_norms(self) -> dict[str, np.ndarray]:
        """The norm of the gradient by layer group, from the input to the head, where it was measured."""
        return {
            name.rpartition("/")[2]: values
            for name, values in self.columns.items()
            if "gradient_norm" in name and "/" in name and not np.isnan(values).all()
        }

    def _paired(self, name: str) -> bool:
        if name.startswith(("val_", INFERENCE)) or name in _NOT_MEASURED:
            return False
        return self.column(name) is not None and self.column(f"val_{name}") is not None

    def _share(self, name: str) -> bool:
        both = np.concatenate([self.columns[name], self.columns[f"val_{name}"]])
        return bool(np.nanmin(both) >= 0 and np.nanmax(both) <= 1)


def _numbers(name: str, column: str, values: Sequence[Any]) -> np.ndarray:
    try:
        return np.array([np.nan if value is None or value == "" else float(value) for value in values], float)
    except (TypeError, ValueError) as error:
        raise complain(name, f"a history with numbers in the column {column!r}", str(error)) from error
