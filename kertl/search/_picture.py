"""The pictures of a search."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kertl.run_files import save_figure


def draw_importance(
    names: Sequence[str],
    means: Sequence[float],
    standard_deviations: Sequence[float],
    title: str,
    path: str | Path | None,
) -> Any:
    """A bar for each hyperparameter, the most important on top.

    Args:
        names: The hyperparameters, in order.
        means: How important each is.
        standard_deviations: Standard deviation of each.
        title: What the picture shows.
        path: Where the picture is written, if at all; its suffix decides the format.
    """
    figure = Figure(figsize=(6.4, 1.2 + 0.32 * max(3, len(names))), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(list(names), list(means), xerr=list(standard_deviations), color="#0072B2", ecolor="0.3", capsize=2)
    axes.invert_yaxis()
    axes.set_xlabel("loss of R² without its values")
    axes.set_title(f"Importance of each hyperparameter ({title})", loc="left", fontsize=10)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, path)


def draw_trials(trials: Sequence[Any], objective: str, direction: str, path: str | Path | None) -> Any:
    """The objective of each trial in the order of their numbers, and the best one so far.

    Args:
        trials: The trials that have a value.
        objective: What it is called.
        direction: "min" or "max".
        path: Where the picture is written, if at all; its suffix decides the format.
    """
    ordered = sorted(trials, key=lambda trial: int(trial.name))
    numbers, values = [int(trial.name) for trial in ordered], [trial.value for trial in ordered]
    figure = Figure(figsize=(7.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(numbers, values, "o", color="#0072B2", label="trial")
    best = np.minimum.accumulate(values) if direction == "min" else np.maximum.accumulate(values)
    axes.step(numbers, best, where="post", color="#D55E00", label="best so far")
    again = [(int(trial.name), value) for trial in ordered for value in trial.again if value is not None]
    if again:
        axes.plot(*zip(*again, strict=True), "x", color="0.4", label="trained again")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(objective)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return save_figure(figure, path)
