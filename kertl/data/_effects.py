"""What transformations of held-out images do to a model's predictions: numbers, a table and a picture."""

import dataclasses
import math
import textwrap
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from kertl._terminal import counted
from kertl.results import Result, table_text
from kertl.run_files import save_figure
from kertl.tasks import matched_interval

_LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Effect:
    """The effect of one transformation at one amount."""

    transformation: str
    """Its name."""
    amount: float | str
    """Its greatest strength."""
    change: float
    """Mean total variation distance between the probabilities for the unchanged and the varied image, 0 to 1."""
    changed: float
    """Share of the images whose prediction changes."""
    images: int
    """How many images there are."""
    right: int
    """How many of them are predicted correctly when varied."""
    lost: int
    """How many of them are predicted correctly when unchanged and wrongly when varied."""
    won: int
    """How many of them are predicted wrongly when unchanged and correctly when varied."""

    @property
    def accuracy(self) -> float:
        """Accuracy on the varied images."""
        return self.right / self.images

    @property
    def p_value(self) -> float:
        """P value of McNemar's one-sided exact test: how likely chance alone loses so many predictions."""
        differing = self.lost + self.won
        return sum(math.comb(differing, count) for count in range(self.lost, differing + 1)) / 2**differing

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference in accuracy, see `kertl.tasks.matched_interval`."""
        return matched_interval(self.lost, self.won, self.images)


@dataclasses.dataclass(frozen=True, repr=False)
class AugmentationCheck(Result):
    """What `check_augmentation` found.

    Attributes:
        rows: The effect of each transformation at each amount.
        accuracy: Accuracy on the unchanged images.
        part: Which of the sets the images are from.
        available: How many images that set has, of which those that there was time for were taken at random; 0 if
            nobody counted.
    """

    rows: tuple[Effect, ...]
    accuracy: float
    part: str
    available: int = 0

    @property
    def level(self) -> float:
        """The p value below which a row is flagged: 5 % divided by the number of rows (Bonferroni)."""
        return _LEVEL / len(self.rows)

    @property
    def flagged(self) -> tuple[Effect, ...]:
        """The rows whose accuracy falls by more than chance."""
        return tuple(row for row in self.rows if row.p_value < self.level)

    def table(self) -> str:
        """The rows as text, and what a flag means."""
        table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
        for heading in ("kind", "amount", "changed", "accuracy", "difference", "p", ""):
            table.add_column(heading, justify="left" if heading in ("kind", "") else "right")
        for row in self.rows:
            low, high = row.interval
            table.add_row(
                row.transformation,
                f"{row.amount}",
                f"{row.changed:.3f}",
                f"{row.accuracy:.3f}",
                f"{row.accuracy - self.accuracy:+.3f} ({low:+.2f}, {high:+.2f})",
                f"{row.p_value:.0e}",
                "FLAG" if row in self.flagged else "",
            )
        images = self.rows[0].images
        some = images < self.available
        text = (
            f"Accuracy of {f'{images:,} of the {self.available:,}' if some else f'the {images:,}'} {self.part} images "
            f"as they are: {self.accuracy:.4f}. "
            + ("They were drawn at random, as many as there was time for. " if some else "")
            + "Changed is the share of other predictions; differences have 95 % intervals. Of "
            f"{counted(len(self.rows), 'check')}, those with p < {self.level:.1e} are flagged. A flag means that this "
            "model does worse on images varied this way: because their class has changed, or because the model never "
            "learnt to recognise them. `kertl augment-preview` shows them."
        )
        return table_text(table) + textwrap.fill(text, 80)

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the differences in accuracy with their intervals.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.0, 1.2 + 0.24 * len(self.rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(self.rows):
            colour = "#D55E00" if row in self.flagged else "#0072B2"
            axes.plot(row.interval, (place, place), color=colour, linewidth=1.5)
            axes.plot(row.accuracy - self.accuracy, place, "o", color=colour, markersize=4)
        axes.axvline(0, color="0.4", linestyle="--", linewidth=1)
        names = [f"{row.transformation} {row.amount}" for row in self.rows]
        axes.set_yticks(range(len(names)), names, fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(f"difference in accuracy on {self.rows[0].images} {self.part} images, 95 % interval")
        axes.set_title(f"accuracy without it {self.accuracy:.4f}; red: flagged", loc="left", fontsize=9)
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        return save_figure(figure, path)
