"""What a running search shows: a table on a terminal, otherwise a line for each trial."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.live import Live
from rich.table import Table

from kertl._terminal import CONSOLE, shown
from kertl.search._result import SearchResult, confirmation, described, read

_ROWS = 15


@contextlib.contextmanager
def watched(folder: Path, most: int, verbose: str | bool) -> Iterator[Callable[[str], None]]:
    """Show the progress of a search.

    Args:
        folder: Where its files are.
        most: The largest number of trials.
        verbose: Whether to show anything; "auto" on a terminal and in a notebook.

    Yields:
        What to call with the name of each finished trial.
    """
    start = time.monotonic()

    def now() -> Table:
        # The files are read, since other processes may be searching too.
        return table(read(folder), most, time.monotonic() - start)

    if not shown(verbose):
        yield lambda name: None
    elif shown("auto"):
        with Live(get_renderable=now, console=CONSOLE, refresh_per_second=0.5):
            yield lambda name: None
    else:
        yield lambda name: CONSOLE.print(line(read(folder), most, name), markup=False, highlight=False, soft_wrap=True)


def table(found: SearchResult, most: int, seconds: float) -> Table:
    """The last trials in order, their values, the best so far, and the time left.

    Args:
        found: What was found so far.
        most: The largest number of trials.
        seconds: Seconds since the search began.
    """
    spent = [trial.seconds for trial in found.trials if trial.seconds is not None]
    title = f"{_over(found, most)}, {_span(seconds)}"
    if spent and len(spent) < most:
        at_once = max(1, sum(trial.status == "RUNNING" for trial in found.trials))
        title += f", about {_span(sum(spent) / len(spent) * (most - len(spent)) / at_once)} left"
    rows = Table(title=title, title_justify="left", expand=True)
    for heading in ("trial", found.objective, "best", "again", "seconds"):
        rows.add_column(heading, justify="right")
    rows.add_column("values", no_wrap=True, ratio=1)
    searched = {name for trial in found.trials for name in trial.values if not _same(name, found)}
    better, best = min if found.direction == "min" else max, None
    for number, trial in enumerate(in_order := sorted(found.trials, key=lambda one: int(one.name)), start=1):
        if trial.value is not None:
            best = trial.value if best is None else better(best, trial.value)
        if number > len(in_order) - _ROWS:
            value = trial.status.lower() if trial.value is None else f"{trial.value:.4f}"
            taken = "" if trial.seconds is None else f"{trial.seconds:.1f}"
            what = trial.reason or described({name: trial.values[name] for name in trial.values if name in searched})
            rows.add_row(trial.name, value, "" if best is None else f"{best:.4f}", confirmation(trial), taken, what)
    return rows


def line(found: SearchResult, most: int, name: str) -> str:
    """The result of one trial.

    Args:
        found: What was found so far.
        most: The largest number of trials.
        name: The trial.
    """
    (trial,) = (one for one in found.trials if one.name == name)
    value = f"failed ({trial.reason})" if trial.value is None else f"{found.objective} {trial.value:.4f}"
    value += f" (again {confirmation(trial)})" if trial.again else ""
    best = f"best {found.completed[0].judged:.4f} in trial {found.completed[0].name}" if found.completed else "no value"
    return f"{_over(found, most)}, {best}. Trial {name}: {value}, {described(trial.values)}."


def _same(name: str, found: SearchResult) -> bool:
    """Whether a hyperparameter has the same value in several trials, and so says nothing."""
    return len(found.trials) > 1 and len({repr(trial.values.get(name)) for trial in found.trials}) == 1


def _over(found: SearchResult, most: int) -> str:
    return f"{sum(trial.status != 'RUNNING' for trial in found.trials)} of at most {most} trials"


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
