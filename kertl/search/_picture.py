"""The picture of importance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kertl.run_files import save_figure


def draw(
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
