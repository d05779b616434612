"""What `adapt` gives."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.table import Table
from scipy.stats import binomtest

from kertl.results import LEFT_OUT, Result, table_text
from kertl.run_files import save_figure

RISK_OF_LABELS = "Few labels choose by chance: look at the intervals of the accuracies."


@dataclasses.dataclass(frozen=True)
class Judged:
    """A method, and what is known of it without labels of the target; with them also its accuracies."""

    method: str
    """Its name; "none" is the model as it was given."""
    changed: float
    """Share of the images of the target that are predicted otherwise than before."""
    entropy: float
    """Mean entropy of the predictions for the target, as a share of the largest possible."""
    domain_auc: float
    """AUC of a classifier that tells the adapted features of the target from those of the source; 0.5 if it cannot, NaN
    without features of the source."""
    imbalance: float
    """How far the predicted shares of the classes are from those of the source: half of the sum of the differences."""
    reverse_accuracy: float
    """Accuracy on the source of a head that is solved on the predictions for the target, whose features are aligned for
    it; NaN without the source."""
    source_accuracy: float | None = None
    """With labels: accuracy on the source."""
    target_accuracy: float | None = None
    """With labels: accuracy on images of the target that were held out."""
    source_interval: tuple[float, float] | None = None
    """95 % interval of the accuracy on the source, by the number of its images."""
    target_interval: tuple[float, float] | None = None
    """95 % interval of the accuracy on the target."""


def interval_of(right: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of an accuracy, of which images were predicted correctly.

    Reference:
        Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    found = binomtest(int(np.sum(right)), len(right)).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


@dataclasses.dataclass(frozen=True, repr=False)
class Adaptation(Result):
    """A model for the target, and how it came about.

    Attributes:
        model: The adapted model, not compiled; the one that was given where `method` is "none".
        method: What was done.
        reason: Why.
        risk: What may be wrong with it all the same.
        judged: The methods that were looked at.
        shares: The estimated shares of the classes in the target; of labels, where there are any.
        images: Number of images of the target and of the source.
        warnings: What should be looked at.
    """

    model: keras.Model = dataclasses.field(metadata=LEFT_OUT)
    method: str
    reason: str
    risk: str
    judged: tuple[Judged, ...]
    shares: Mapping[str, float]
    images: tuple[int, int]
    warnings: tuple[str, ...] = ()

    def table(self) -> str:
        """The methods, the one that was chosen, why, and the risk."""
        table = Table(box=box.SIMPLE)
        with_labels = any(one.target_accuracy is not None for one in self.judged)
        table.add_column("method")
        unlabelled = ("changed", "entropy", "domain AUC", "imbalance", "reverse accuracy")
        headings = ("accuracy on target", "accuracy on source", "changed") if with_labels else unlabelled
        for heading in headings:
            table.add_column(heading, justify="right")
        for one in self.judged:
            plain = (one.changed, one.entropy, one.domain_auc, one.imbalance, one.reverse_accuracy)
            mark = " *" if one.method == self.method else ""
            cells = [*map(_shown, plain)]
            if with_labels:
                accuracies = (one.target_accuracy, one.target_interval), (one.source_accuracy, one.source_interval)
                cells = [*(_shown(*each) for each in accuracies), _shown(one.changed)]
            table.add_row(one.method + mark, *cells)
        lines = [f"Method: {self.method}. {self.reason}", f"Risk: {self.risk}"]
        return table_text(table) + "\n".join([*lines, *(f"Warning: {warning}" for warning in self.warnings)])

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw what is known of each method: accuracies where there are labels, else reverse accuracy and changes.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        figure = Figure(figsize=(8.0, 0.6 + 0.5 * max(3, len(self.judged))), layout="constrained")
        axes = figure.add_subplot()
        with_labels = any(one.target_accuracy is not None for one in self.judged)
        names = ("target_accuracy", "source_accuracy") if with_labels else ("reverse_accuracy", "changed")
        places = range(len(self.judged))
        for number, (name, colour) in enumerate(zip(names, ("#0072B2", "#E69F00"), strict=True)):
            values = [getattr(one, name) or 0.0 for one in self.judged]
            axes.barh(
                [place + 0.4 * number for place in places], values, 0.38, color=colour, label=name.replace("_", " ")
            )
        axes.set_yticks([place + 0.2 for place in places], [one.method for one in self.judged])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return save_figure(figure, path)


def _shown(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """A number, with its interval if there is one."""
    if value is None or value != value:
        return "-"
    return f"{value:.3f}" if interval is None else f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"
