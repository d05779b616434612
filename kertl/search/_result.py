"""What a search has found so far, read from its folder."""

import dataclasses
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich import box
from rich.table import Table

from kertl.errors import RunError
from kertl.heads import Head
from kertl.recipe import Recipe
from kertl.results import LEFT_OUT, Result, called, plain, table_text
from kertl.run_files import read_json, read_text, write_text
from kertl.search._candidate import CANDIDATE, SPREAD, Candidate
from kertl.search._importance import Importance, importance_of
from kertl.search._picture import draw_trials

SETTINGS = "search.json"
RECIPE = "recipe.json"
"""In the folder of a search: the recipe of the best trial."""
AGAIN = "again.json"
"""In the folder of a trial: its objective each time it was trained again."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One trial of a search."""

    name: str
    """Its number, counted from 0; its folder is called `trial_` and this."""
    values: dict[str, Any]
    """Its hyperparameters, those that mattered."""
    status: str
    """"COMPLETED", "FAILED" or "RUNNING"."""
    value: float | None
    """The objective at its best epoch, or its mean over folds; None if it is not known."""
    standard_deviation: float | None = dataclasses.field(metadata=called("spread"))
    """Standard deviation of `value` over folds; None without folds."""
    seconds: float | None
    """Seconds for building and training."""
    reason: str
    """Why it failed, in one line; else empty."""
    again: tuple[float | None, ...] = ()
    """The objective each time it was trained again, from another seed; None if that failed."""

    @property
    def confirmed(self) -> float | None:
        """The mean of `again`; None if it is empty, or a training failed."""
        known = [value for value in self.again if value is not None]
        return statistics.fmean(known) if known and len(known) == len(self.again) else None

    @property
    def judged(self) -> float | None:
        """The value it is ranked by: `confirmed` if it was trained again, else `value`."""
        return self.value if self.confirmed is None else self.confirmed


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SearchResult(Result):
    """What `tune` found.

    Attributes:
        trials: The trials, best first: those that were trained again by the mean of that, then the others by their
            value; those that failed when trained again, or have no value, come last.
        objective: Name of the metric that was minimised or maximised.
        direction: "min" or "max".
        folder: Where the files are.
        best_read: What the best trial trained, if the result was read from JSON: the folder need not exist then.
    """

    trials: tuple[Trial, ...]
    objective: str
    direction: str
    folder: Path
    best_read: Candidate | None = dataclasses.field(default=None, metadata=LEFT_OUT)

    @property
    def completed(self) -> tuple[Trial, ...]:
        """The trials that have a value, best first."""
        return tuple(trial for trial in self.trials if trial.value is not None)

    @property
    def best(self) -> Candidate:
        """What the best trial trained, for its number of epochs.

        Raises:
            RunError: If no trial has a value.
        """
        if not self.completed:
            raise RunError(f"No trial in {str(self.folder)!r} has a value yet.", code="search")
        return self.best_read or self.candidate(self.completed[0].name)

    @property
    def recipe(self) -> Recipe:
        """The recipe of the best trial, for `kertl.fine_tune`."""
        return self.best.recipe

    @property
    def head(self) -> Head:
        """The head of the best trial, for `kertl.build`."""
        return self.best.head

    def candidate(self, name: str) -> Candidate:
        """What a trial trained.

        Raises:
            RunError: If it was not trained, or its file is damaged.
        """
        path = self.folder / f"trial_{name}" / CANDIDATE
        try:
            return Candidate.from_json(read_text(path))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{str(path)!r} must say what trial {name} trained, but cannot be read: {error}", code="damaged"
            ) from error

    def importance(self, seed: int = 0) -> Importance:
        """How much each hyperparameter says about the objective.

        Args:
            seed: Of the forest.

        Raises:
            ValueError: If fewer than five trials have a value.
        """
        found = {trial.name: trial.value for trial in self.trials if trial.value is not None}
        return importance_of([trial.values for trial in self.completed], list(found.values()), seed)

    def table(self, most: int = 10, width: int = 120) -> str:
        """The best trials as text, `width` characters wide, and why others failed."""
        table = Table(box=box.SIMPLE)
        table.add_column("trial", justify="right")
        table.add_column(self.objective, justify="right")
        table.add_column("std. dev.", justify="right")
        table.add_column("again", justify="right")
        table.add_column("values", overflow="fold")
        for trial in self.completed[:most]:
            deviation = "" if trial.standard_deviation is None else f"{trial.standard_deviation:.4f}"
            table.add_row(trial.name, f"{trial.value:.4f}", deviation, confirmation(trial), described(trial.values))
        failed = [f"Trial {trial.name} failed: {trial.reason}" for trial in self.trials if trial.status == "FAILED"]
        counts = f"{len(self.completed)} of {len(self.trials)} trials have a value."
        return "\n".join([table_text(table, width).rstrip(), counts, *failed])

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the objective of each trial, and the best one so far.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        return draw_trials(self.completed, self.objective, self.direction, path)

    def to_dict(self) -> dict[str, Any]:
        """All of it, and what the best trial trained."""
        return {**super().to_dict(), "best": plain(self.best) if self.completed else None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **left_out: Any) -> Self:
        """The result from what `to_dict` gave; `best` comes from it, whether or not the folder still exists."""
        fields = {name: value for name, value in values.items() if name != "best"}
        best = values.get("best") and Candidate.from_json(json.dumps(values["best"]))
        return super().from_dict(fields, **{"best_read": best, **left_out})

    def write(self) -> None:
        """Write leaderboard.json, the best recipe, the picture of the trials, and from five on that of importance."""
        write_text(self.folder / "leaderboard.json", self.to_json() + "\n")
        if self.completed:
            write_text(self.folder / RECIPE, self.recipe.to_json() + "\n")
            self.plot(self.folder / "trials.png")
        if len(self.completed) >= Importance.FEWEST:
            self.importance().plot(self.folder / "importance.png")


def read(folder: str | Path) -> SearchResult:
    """What a search has found so far, running or finished; a trial whose file is damaged is left out.

    Args:
        folder: The `out` of `tune`.

    Raises:
        RunError: If there is no search.
    """
    folder = Path(folder)
    try:
        settings = read_json(folder / SETTINGS)
        objective, direction = settings["objective"], settings["direction"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{str(folder)!r} must hold a search: its {SETTINGS} cannot be read ({error}).", code="damaged"
        ) from error
    trials = [_trial(path, objective) for path in folder.glob("trial_*/trial.json")]
    sign = 1 if direction == "min" else -1

    def rank(trial: Trial) -> tuple[int, float, int]:
        order = 0 if trial.confirmed is not None else 3 if trial.value is None else 2 if trial.again else 1
        return (order, sign * (trial.judged or 0.0), int(trial.name))

    return SearchResult(tuple(sorted((one for one in trials if one), key=rank)), objective, direction, folder)


def confirmation(trial: Trial) -> str:
    """Mean and standard deviation of a trial's objective when it was trained again."""
    if not trial.again:
        return ""
    if trial.confirmed is None:
        return "failed"
    known = [value for value in trial.again if value is not None]
    return f"{trial.confirmed:.4f}" + (f" ± {statistics.stdev(known):.4f}" if len(known) > 1 else "")


def described(values: dict[str, Any]) -> str:
    """Hyperparameters in one line."""
    return ", ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in values.items()
    )


def _again(path: Path) -> tuple[float | None, ...]:
    """The values in again.json; none if it does not exist or is damaged, so that the trial is trained again."""
    try:
        return tuple(None if value is None else float(value) for value in read_json(path))
    except (OSError, ValueError, TypeError):
        return ()


def _trial(path: Path, objective: str) -> Trial | None:
    name = path.parent.name.removeprefix("trial_")
    try:
        state = read_json(path)
        if state["trial_id"] != name or not name.isdecimal():
            raise ValueError("the file of another trial")
        metrics = state["metrics"]["metrics"]
        deviations = metrics.get(objective + SPREAD, {"observations": []})["observations"]
        status = state["status"]
        beside = path.with_name(CANDIDATE)
        seconds = read_json(beside)["seconds"] if beside.exists() else None
        values = state["hyperparameters"]["values"]
        lines = (state["message"] or "its objective is not a number").strip().splitlines()
        return Trial(
            name=name,
            values={name: value for name, value in values.items() if not name.startswith("tuner/")},
            status=status,
            value=float(state["score"]) if status == "COMPLETED" and state["score"] is not None else None,
            standard_deviation=deviations[0]["value"][0] if deviations else None,
            seconds=seconds,
            again=_again(path.with_name(AGAIN)),
            reason=lines[-1].partition("FailedTrialError: ")[2] or lines[-1] if status == "FAILED" else "",
        )
    except (
        OSError,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
    ):  # damaged; the search reports it when it resumes
        return None
