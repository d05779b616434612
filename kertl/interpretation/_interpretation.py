"""The result of an interpretation."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from kertl._terminal import printable
from kertl.interpretation._calibration import Calibration
from kertl.interpretation._drawing import draw_reliability
from kertl.results import LEFT_OUT, Result, table_text
from kertl.run_files import save_figure


@dataclasses.dataclass(frozen=True)
class Confusion:
    """Images of one class that are taken for another."""

    truth: str
    """Their class."""
    predicted: str
    """What is predicted."""
    images: int
    """How many they are."""
    share: float
    """Their share of the images of that class."""


@dataclasses.dataclass(frozen=True)
class ImageLoss:
    """An image that the model is far off about."""

    file: str
    """The image."""
    truth: str
    """Its label."""
    predicted: str
    """What is predicted, with its probability."""
    loss: float
    """As `kertl.tasks.Task.image_losses` defines it."""
    nearest: tuple[str, ...] = ()
    """The training images whose features are nearest, with their labels."""


@dataclasses.dataclass(frozen=True)
class DoubtfulLabel:
    """An image whose label is probably wrong."""

    file: str
    """The image."""
    part: str
    """The part it is in."""
    label: str
    """Its label."""
    suggested: str
    """The class that a classifier fitted to other images finds likeliest."""
    probability: float
    """The probability that it gives the label."""


@dataclasses.dataclass(frozen=True)
class AlikeImages:
    """An image of the part and one of the training set that are nearly the same to the model."""

    file: str
    """The image of the part."""
    training_file: str
    """The training image."""
    similarity: float
    """Cosine of their standardised features; at most 1."""
    same_label: bool
    """Whether they have the same label."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """An image for which two models predict differently."""

    file: str
    """The image."""
    truth: str
    """Its label."""
    predicted: str
    """What the model predicts."""
    other: str
    """What the other model predicts."""


@dataclasses.dataclass(frozen=True, repr=False)
class Interpretation(Result):
    """Where a model is right and wrong, and about what.

    Attributes:
        part: The part of the data that it is about.
        metrics: As `kertl.evaluate` gives them, with `intervals`.
        calibration: Of the predicted probabilities, with the temperature that fits the validation set; None in a
            regression.
        confusions: The pairs of classes that are mistaken most often; empty unless each image has one class.
        top_losses: The images with the greatest loss, the greatest first.
        doubtful_labels: Labels of all parts that are probably wrong, the most doubtful first; None where that was not
            looked for, see `notes`.
        alike: Images that have a near-duplicate in the training set, the most alike first.
        differences: The images for which the other model predicts something else.
        notes: What was not done, and why.
        maps_show: What `maps` mark, in words; empty where there are none.
        maps: For each of `top_losses` a map of places, shape `(n, height, width)`, as
            `kertl.interpretation.where_it_looks` makes it; None where there are none, see `notes`.
    """

    part: str
    metrics: Mapping[str, Any]
    calibration: Calibration | None
    confusions: tuple[Confusion, ...]
    top_losses: tuple[ImageLoss, ...]
    doubtful_labels: tuple[DoubtfulLabel, ...] | None
    alike: tuple[AlikeImages, ...]
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    maps_show: str = ""
    maps: np.ndarray | None = dataclasses.field(default=None, metadata=LEFT_OUT)

    def table(self) -> str:
        """All of it as text."""
        intervals = self.metrics["intervals"]
        told = [
            f"{name} {self.metrics[name]:.4f} ({low:.4f} to {high:.4f})"
            for name, (low, high) in intervals.items()
            if isinstance(self.metrics.get(name), float) and name != "majority"
        ]
        lines = [
            f"{self.part.capitalize()}, {self.metrics['images']} images, with 95 % intervals: {', '.join(told)}.\n"
        ]
        if self.calibration is not None:
            lines.append(f"{self.calibration.sentence()}\n")
        lines.append(_listed("Most confused", self.confusions))
        lines.append(_listed("Greatest losses", self.top_losses))
        lines.append(_listed("Labels that are probably wrong", self.doubtful_labels or ()))
        lines.append(_listed("Near-duplicates in the training set", self.alike))
        lines.append(_listed("Where the models differ", self.differences))
        return "".join([*lines, *(f"{note}\n" for note in self.notes)])

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the reliability diagram, or, in a regression, the greatest losses.

        Args:
            path: A picture file to write; its suffix decides the format.

        Returns:
            The matplotlib figure.
        """
        if self.calibration is not None:
            return draw_reliability(self.calibration, path)
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.0, 0.8 + 0.3 * len(self.top_losses)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh([Path(one.file).name for one in self.top_losses][::-1], [one.loss for one in self.top_losses][::-1])
        axes.set_xlabel("mean absolute error, in standard deviations of the labels")
        axes.spines[["top", "right"]].set_visible(False)
        return save_figure(figure, path)


_MOST_LISTED = 10


def _listed(title: str, items: Sequence[Any]) -> str:
    """A table with a row for each of some dataclasses, without the columns that hold lists."""
    if not items:
        return ""
    table = Table(box=box.SIMPLE, title=title, title_justify="left")
    names = [field.name for field in dataclasses.fields(items[0]) if field.name != "nearest"]
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for item in items[:_MOST_LISTED]:
        table.add_row(*(Text(_cell(getattr(item, name))) for name in names))
    more = f"… and {len(items) - _MOST_LISTED} more, see `to_dict()`\n" if len(items) > _MOST_LISTED else ""
    return table_text(table) + more


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))
