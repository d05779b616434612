"""What a learning-rate range test found: curves of losses over rates, and the rates that they suggest."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich import box
from rich.table import Table

from kertl.range_test._picture import draw
from kertl.range_test._suggest import RULES, suggest
from kertl.results import Result, table_text

_FINE = 50  # steps from which on suggestions hardly depend on their number


@dataclass(frozen=True, eq=False)
class Curve:
    """One run through the rates.

    Attributes:
        learning_rates: The rate of each step, rising.
        raw_losses: The loss of each step's own batch.
        losses: The same, smoothed.
        steps: How many steps were planned; fewer were made if the loss diverged.
        standing: Losses of the same batches without learning, with the same dropout; None if not known.
    """

    learning_rates: np.ndarray
    raw_losses: np.ndarray
    losses: np.ndarray
    steps: int
    standing: np.ndarray | None = None

    @property
    def learnt(self) -> np.ndarray:
        """The raw losses corrected for how hard each batch is, if `standing` is known."""
        return self.raw_losses if self.standing is None else self.raw_losses - self.standing + np.mean(self.standing)

    @property
    def suggestions(self) -> dict[str, float | None]:
        """A rate by each rule, as in `RangeTest`."""
        return suggest(self.learning_rates, self.learnt, self.losses, self.steps)


@dataclass(frozen=True, eq=False, repr=False)
class RangeTest(Result):
    """What a learning-rate range test found.

    Attributes:
        runs: The runs, one or several.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("suggestions", "suggestion", "suggestion_range")

    runs: Sequence[Curve]

    @property
    def learning_rates(self) -> np.ndarray:
        """The rates that all runs reached, rising."""
        return min((run.learning_rates for run in self.runs), key=len)

    @property
    def losses(self) -> np.ndarray:
        """The smoothed loss at each of these rates, the mean over the runs."""
        return self._mean([run.losses for run in self.runs])

    @property
    def raw_losses(self) -> np.ndarray:
        """The loss of the batch at each of these rates, the mean over the runs."""
        return self._mean([run.raw_losses for run in self.runs])

    @property
    def suggestions(self) -> dict[str, float | None]:
        """A rate by each rule; for several runs the median of their rates' logarithms.

        "valley": the middle of the longest fall. "steep": where the loss falls fastest. "minimum": a tenth of the rate
        where it is lowest. "slide": going back from the end, the first place where the slope equals that 15 steps
        later.

        All are None if no fall stands out from the noise: if the lowest mean over a tenth of the steps is not below the
        first by five times the noise of such a difference and by a hundredth. Differences that `standing` explains are
        not noise. Of several runs, at least half must fall.
        """
        return {name: _median(rates) for name, rates in self._found().items()}

    @property
    def suggestion(self) -> float | None:
        """The rate of "valley", or None.

        It is also fastai's default: it follows the whole fall, while the others depend on one point of it (the
        steepest, which noise moves) or on where the loss turns.
        """
        return self.suggestions["valley"]

    @property
    def suggestion_range(self) -> tuple[float, float] | None:
        """The lowest and highest suggestion of the runs; None without a suggestion."""
        rates = [rate for rate in self._found()["valley"] if rate is not None]
        return None if self.suggestion is None else (min(rates), max(rates))

    def table(self) -> str:
        """The suggestions and the result as text."""
        table = Table(box=box.SIMPLE)
        table.add_column("rule")
        table.add_column("learning rate", justify="right")
        for name, rate in self.suggestions.items():
            table.add_row(name, "-" if rate is None else f"{rate:.1e}")
        return table_text(table) + self._sentence()

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw loss over rate with the suggestions marked.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        return draw(self, path)

    def _sentence(self) -> str:
        if self.suggestion is None or self.suggestion_range is None:
            return "The loss does not fall at any of these rates, so none is suggested."
        low, high = self.suggestion_range
        runs = f"; {low:.1e} to {high:.1e} in {len(self.runs)} runs" if len(self.runs) > 1 else ""
        steps = min(run.steps for run in self.runs)
        coarse = f" With {steps} steps that is coarse: take {_FINE} or more." if steps < _FINE else ""
        return f"Suggested: {self.suggestion:.1e} (valley{runs}).{coarse}"

    def _mean(self, rows: list[np.ndarray]) -> np.ndarray:
        return np.mean([row[: len(self.learning_rates)] for row in rows], axis=0)

    def _found(self) -> dict[str, list[float | None]]:
        by_run = [run.suggestions for run in self.runs]
        return {name: [rates[name] for rates in by_run] for name in RULES}


def _median(rates: list[float | None]) -> float | None:
    found = [rate for rate in rates if rate is not None]
    if 2 * len(found) < len(rates):
        return None
    low, high = statistics.median_low(found), statistics.median_high(found)
    return low if low == high else math.sqrt(low * high)
