"""What `shift` finds, and how it is shown."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from kertl._terminal import shortened
from kertl.results import Result, table_text
from kertl.run_files import save_figure
from kertl.studies._label_shift import above_chance
from kertl.studies._two_samples import Distances

LEVEL = 0.05
"""Of the permutation tests, all boundaries together."""
_FILES_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class ShiftAt:
    """How far two domains are apart after a layer group."""

    boundary: str
    """Name of the layer group after which the features are taken."""
    features: int
    """Numbers per image; maps are averaged over their places."""
    distances: Distances
    """How far apart."""
    shifted: bool
    """Whether the permutation test and the classifier both say that the domains differ here."""


@dataclasses.dataclass(frozen=True)
class Far:
    """An image of b that is far from those of a."""

    file: str
    """Its name."""
    distance: float
    """Mahalanobis distance from the images of a, as a multiple of the median distance of images of a."""
    beyond: float
    """Share of the images of a that are not as far away."""


@dataclasses.dataclass(frozen=True)
class LabelShift:
    """How the shares of the classes differ, and what remains of the shift without that."""

    shares_a: Mapping[str, float]
    """Share of each class in a: by its labels, or where it has none by the model's predictions."""
    shares_b: Mapping[str, float]
    """Share of each class in b: by its labels, or where it has none estimated by EM."""
    from_labels: tuple[bool, bool]
    """Whether the shares are those of labels, in a and in b."""
    distance: float
    """Half of the sum of the differences of shares: 0 for equal ones, 1 for different classes."""
    auc: float
    """AUC of a classifier that tells b from a at the last boundary, as it is."""
    auc_without: float
    """The same where the images of a are weighted so that its classes have the shares of b: the covariate shift."""
    accuracy: float | None = None
    """Of the model on a, on which estimated shares rest; None without labels of a."""

    @property
    def is_known(self) -> bool:
        """Whether the shares of b are those of labels, or estimated with a model that is better than chance on a."""
        if self.from_labels[1] or self.accuracy is None:
            return True
        return above_chance(self.accuracy, max(self.shares_a.values()))


@dataclasses.dataclass(frozen=True, repr=False)
class Shift(Result):
    """What `shift` found.

    Attributes:
        depths: From the input to the end.
        images: Number of images of a and b.
        labels: The label shift; None without a classifier for one class of several.
        farthest: The images of b that are farthest from a at the last boundary, the farthest first.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("begins",)

    depths: tuple[ShiftAt, ...]
    images: tuple[int, int]
    labels: LabelShift | None
    farthest: tuple[Far, ...]

    @property
    def begins(self) -> str | None:
        """The first layer group after which the domains differ; None if they differ nowhere.

        As `at=` of a stage it makes that group the first to train.
        """
        return next((depth.boundary for depth in self.depths if depth.shifted), None)

    def table(self) -> str:
        """The distances by depth, where the shift begins, label shift, and the farthest images."""
        table = Table(box=box.SIMPLE)
        table.add_column("after")
        for heading in ("means", "covariances", "Fréchet", "within a", "AUC", "95 %", "MMD", "p"):
            table.add_column(heading, justify="right")
        for depth in self.depths:
            one = depth.distances
            low, high = one.auc_interval
            numbers = (one.mean_difference, one.covariance_difference, one.frechet, one.frechet_within, one.auc)
            shown = (f"{number:.3f}" for number in numbers)
            table.add_row(depth.boundary, *shown, f"{low:.2f} to {high:.2f}", f"{one.mmd:.4f}", f"{one.p_value:.3f}")
        return table_text(table) + "\n".join(self._sentences())

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the classifier's AUC and the Fréchet distance by depth.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        names = [depth.boundary for depth in self.depths]
        found = [depth.distances for depth in self.depths]
        places = range(len(names))
        aucs = [one.auc for one in found]
        below = [one.auc - one.auc_interval[0] for one in found]
        above = [one.auc_interval[1] - one.auc for one in found]
        left.errorbar(places, aucs, yerr=[below, above], marker="o", color="#0072B2", capsize=3)
        left.axhline(0.5, color="0.4", linestyle="--", linewidth=1)
        left.set_ylim(0.4, 1.02)
        left.set_ylabel("AUC of telling b from a")
        right.plot(places, [one.frechet for one in found], marker="o", color="#D55E00", label="a and b")
        right.plot(places, [one.frechet_within for one in found], marker="s", color="0.5", label="halves of a")
        right.set_ylabel("Fréchet distance per component")
        right.legend(frameon=False)
        for axes in (left, right):
            axes.set_xticks(places, names, rotation=45, ha="right", fontsize=8)
            axes.grid(axis="y", color="0.9")
            axes.spines[["top", "right"]].set_visible(False)
        return save_figure(figure, path)

    def _sentences(self) -> list[str]:
        where = f"It begins after {self.begins}" if self.begins else "No shift is seen at any depth"
        last = self.depths[-1].distances
        lines = [f"{self.images[0]:,} images of a, {self.images[1]:,} of b. {where}; AUC at the end {last.auc:.3f}."]
        if self.labels is not None:
            lines += self._label_sentences(self.labels)
        if self.farthest:
            shown = ", ".join(f"{shortened(far.file)} ({far.distance:.1f})" for far in self.farthest[:_FILES_SHOWN])
            lines.append(f"Farthest from a, in median distances of a: {shown}.")
        return lines

    def _label_sentences(self, labels: LabelShift) -> list[str]:
        if not labels.is_known:
            right, commonest = f"{labels.accuracy:.0%}", f"{max(labels.shares_a.values()):.0%}"
            told = "The shares of classes in b cannot be estimated: the model is right for"
            return [f"{told} {right} of a, whose commonest class has {commonest}."]
        if not labels.from_labels[1] and self.begins is None:
            return ["The shares of classes in b are taken to be those of a, since no shift is seen."]
        known = "by labels" if labels.from_labels[1] else "estimated by EM, which takes covariate shift for label shift"
        most = sorted(labels.shares_a, key=lambda name: -abs(labels.shares_b[name] - labels.shares_a[name]))[:3]
        shares = ", ".join(
            f"{shortened(name)} {labels.shares_a[name]:.2f} to {labels.shares_b[name]:.2f}" for name in most
        )
        told = f"Shares of classes ({known}): {shares}; distance {labels.distance:.2f}."
        without = (
            f"With a weighted to the shares of b, the AUC is {labels.auc_without:.3f} instead of {labels.auc:.3f}: "
            "what remains above 0.5 is covariate shift."
        )
        return [told, without]
