"""How much each hyperparameter says about the objective: a forest fitted to the trials, and its loss without it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich import box
from rich.table import Table
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from kertl._checks import complain
from kertl.results import Result, table_text
from kertl.search._picture import draw_importance


@dataclasses.dataclass(frozen=True, repr=False)
class Importance(Result):
    """What the values of each hyperparameter say about the objective.

    For a forest of 100 trees fitted to the trials, the loss of R² when the values of one hyperparameter are shuffled
    among the trials, 10 times. A hyperparameter that is not important here may be so outside of the searched range.
    """

    FEWEST: ClassVar[int] = 5
    """The fewest trials."""
    LITTLE: ClassVar[float] = 0.1
    """Up to this R² the order of the names may be chance."""

    names: tuple[str, ...]
    """The hyperparameters, the most important first."""
    means: tuple[float, ...]
    """Mean loss of R² for each."""
    standard_deviations: tuple[float, ...]
    """Standard deviation over the 10 repeats."""
    trials: int
    """Number of trials."""
    explained: float
    """R² of the forest on trials that a tree was not fitted to; near 0 or below, the rest says nothing."""

    @property
    def note(self) -> str:
        """What it was computed from, and whether it is reliable."""
        text = f"{self.trials} trials, out-of-bag R² {self.explained:.2f}"
        return text if self.explained > self.LITTLE else f"{text}: too little to rely on"

    def table(self) -> str:
        """The hyperparameters as text, the most important first."""
        table = Table(box=box.SIMPLE)
        table.add_column("hyperparameter")
        table.add_column("loss of R²", justify="right")
        table.add_column("std. dev.", justify="right")
        for name, *numbers in zip(self.names, self.means, self.standard_deviations, strict=True):
            table.add_row(name, *(f"{number:.3f}" for number in numbers))
        return f"{table_text(table)}Importance: {self.note}."

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw a bar for each hyperparameter.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        return draw_importance(self.names, self.means, self.standard_deviations, self.note, path)


def importance_of(values: Sequence[dict[str, Any]], objective: Sequence[float], seed: int) -> Importance:
    """The importance of each hyperparameter that is not the same in all trials.

    Args:
        values: The hyperparameters of each trial; those that are missing in a trial did not matter there.
        objective: The value of each trial.
        seed: Of forest and permutations.

    Raises:
        ValueError: If there are fewer than five trials.

    Reference:
        Breiman, "Random Forests", 2001, section 10.
        Hutter, Hoos & Leyton-Brown, "An Efficient Approach for Assessing Hyperparameter Importance", 2014, for forests
        of trials.
    """
    if len(values) < Importance.FEWEST:
        raise complain("trials", f"at least {Importance.FEWEST} with a value", len(values), "Search longer.")
    names = [name for name in dict.fromkeys(key for one in values for key in one) if _varies(name, values)]
    if not names:
        return Importance((), (), (), len(values), 0.0)
    columns = np.stack([_column(name, values) for name in names], axis=1)
    truth = np.asarray(objective, np.float64)
    forest = RandomForestRegressor(n_estimators=100, random_state=seed, oob_score=True).fit(columns, truth)
    found = permutation_importance(forest, columns, truth, n_repeats=10, random_state=seed)
    order = np.argsort(-found.importances_mean, kind="stable")
    return Importance(
        names=tuple(names[place] for place in order),
        means=tuple(float(found.importances_mean[place]) for place in order),
        standard_deviations=tuple(float(found.importances_std[place]) for place in order),
        trials=len(values),
        explained=float(forest.oob_score_),
    )


def _varies(name: str, values: Sequence[dict[str, Any]]) -> bool:
    return len({repr(one.get(name)) for one in values}) > 1


def _column(name: str, values: Sequence[dict[str, Any]]) -> np.ndarray:
    """Numbers unchanged, anything else by its rank among the values; what is missing is below all of them."""
    given = [one[name] for one in values if name in one]
    if all(isinstance(value, (int, float)) for value in given):
        return np.array([one.get(name, min(given) - 1) for one in values], np.float64)
    places = {value: place for place, value in enumerate(sorted(given, key=str))}
    return np.array([places[one[name]] if name in one else -1 for one in values], np.float64)
