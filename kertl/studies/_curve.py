"""A learning curve, and what it suggests."""

import dataclasses
import math
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich import box
from rich.table import Table

from kertl.results import Result, table_text
from kertl.studies._picture import draw_curve
from kertl.studies._power_law import PowerLaw

# The share of the error that doubling the images must be expected to remove for more images to be worth collecting.
WORTHWHILE = 0.1
_NARROW = 0.1  # a gap up to which there is hardly any variance
_DRAWS = 200
_DEEPER = "Train deeper layers, or try another backbone."


@dataclasses.dataclass(frozen=True)
class Point:
    """One number of training images, drawn several times."""

    size: int
    """Number of training images."""
    training: tuple[float, ...]
    """Accuracy on these, of each repeat."""
    validation: tuple[float, ...]
    """Accuracy on the validation set, of each repeat."""

    @property
    def mean(self) -> float:
        """Mean accuracy on the validation set."""
        return float(np.mean(self.validation))

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the accuracy on the validation set; 0 for a single repeat."""
        return float(np.std(self.validation, ddof=1)) if len(self.validation) > 1 else 0.0


@dataclasses.dataclass(frozen=True, repr=False)
class LearningCurve(Result):
    """What `learning_curve` found.

    Attributes:
        points: The sizes, the smallest first.
        law: The power law through the mean validation errors.
        majority: Share of the validation set that the largest class of the training set has.
        judged_on: Number of validation images.
        extraction_seconds: Seconds for running the backbone.
        fitting_seconds: Seconds for fitting the classifiers.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("gap", "gain", "gain_interval", "advice", "reasons")

    points: tuple[Point, ...]
    law: PowerLaw
    majority: float
    judged_on: int
    extraction_seconds: float
    fitting_seconds: float

    @property
    def gap(self) -> float:
        """With the most images, the accuracy on them minus that on the validation set: the variance of the fit."""
        return float(np.mean(self.points[-1].training)) - self.points[-1].mean

    @property
    def gain(self) -> float:
        """The share of the error that doubling the images is expected to remove."""
        now = self.law(self.points[-1].size)
        return 1 - self.law(2 * self.points[-1].size) / now if now > 0 else 0.0

    @cached_property
    def gain_interval(self) -> tuple[float, float]:
        """95 % interval of `gain`: that of the laws through errors as 200 other validation sets and draws could give.

        All sizes are evaluated on the same images, so an image that is wrong after many training images is taken to be
        wrong after fewer too, give or take one image. The standard error of the mean over the repeats is added; where
        there is one repeat, that of the size before.
        """
        random, sizes = np.random.default_rng(0), [point.size for point in self.points]
        errors = np.array([1 - point.mean for point in self.points])
        gains = []
        for _ in range(_DRAWS):
            hard = random.random(self.judged_on)
            drawn = (hard < errors[:, None]).mean(axis=1) + self._of_draws() * random.standard_normal(len(sizes))
            law = PowerLaw.fitted(sizes, np.clip(drawn, 0, 1).tolist())
            now = law(sizes[-1])
            gains.append(1 - law(2 * sizes[-1]) / now if now > 0 else 0.0)
        low, high = np.quantile(gains, (0.025, 0.975))
        return float(low), float(high)

    def _of_draws(self) -> np.ndarray:
        """Standard error of the mean error of each size over its draws, and of one image."""
        found: list[float] = []
        for point in self.points:
            several = len(point.validation) > 1
            own = point.standard_deviation / math.sqrt(len(point.validation))
            found.append(own if several or not found else found[-1])
        return np.hypot(found, 1 / (self.judged_on + 2))

    @property
    def standard_error(self) -> float:
        """Standard error of the accuracy with the most images, after Agresti & Coull."""
        share = (self.points[-1].mean * self.judged_on + 2) / (self.judged_on + 4)
        return math.sqrt(share * (1 - share) / (self.judged_on + 4))

    @property
    def advice(self) -> str:
        """What to get, "more data" or "more model", or "undecided", by the rule in `learning_curve`."""
        low, high = self.gain_interval
        noise = 2 * self.standard_error
        if high < WORTHWHILE:
            return "more model"
        if self.gap > noise:
            return "more data" if low >= WORTHWHILE else "undecided"
        return "more model" if self.gap + noise < _NARROW else "undecided"

    @property
    def reasons(self) -> str:
        """The advice and why, in a few sentences."""
        last = self.points[-1]
        low, high = self.gain_interval
        expected = (
            f"by the fitted curve, twice the {last.size} images would remove about {self.gain:.0%} of the error "
            f"(95 % interval {low:.0%} to {high:.0%})"
        )
        gap = f"training accuracy is {self.gap:.4f} above validation accuracy"
        noise = f"twice the standard error, {2 * self.standard_error:.4f}"
        if self.advice == "more data":
            return f"More data: {expected}; {gap}, more than {noise}, and more images narrow that."
        if self.advice == "undecided":
            return (
                f"These {last.size} training and {self.judged_on} validation images cannot tell whether more data or "
                f"more model would help: {expected}; {gap}, and twice the standard error is "
                f"{2 * self.standard_error:.4f}. Evaluate on more images, draw each size more often (`repeats`), or "
                f"compare models by `kertl.cross_validate`."
            )
        if high >= WORTHWHILE:
            return f"More model: {expected}, but {gap}, within {noise}. {_DEEPER}"
        return f"More model: {expected}, which is little. {_DEEPER}"

    def table(self) -> str:
        """The sizes as text."""
        table = Table(box=box.SIMPLE)
        for heading in ("training images", "repeats", "validation", "std. dev.", "training", "fitted curve"):
            table.add_column(heading, justify="right")
        for point in self.points:
            repeats = len(point.validation)
            deviation = f"{point.standard_deviation:.4f}" if repeats > 1 else ""
            shares = [f"{share:.4f}" for share in (np.mean(point.training), 1 - self.law(point.size))]
            table.add_row(str(point.size), str(repeats), f"{point.mean:.4f}", deviation, *shares)
        law = self.law
        return table_text(table) + (
            f"Accuracy of ridge regression on {self.judged_on} validation images; "
            f"the largest class alone gives {self.majority:.4f}.\n"
            f"Error = {law.floor:.4f} + {law.scale:.4f} / images^{law.exponent:.2f}.\n"
            f"{self.reasons}\n"
            f"Extraction {self.extraction_seconds:.1f} s, classifiers {self.fitting_seconds:.1f} s."
        )

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the curve.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        return draw_curve(self.points, self.law, self.majority, self.reasons, path)
