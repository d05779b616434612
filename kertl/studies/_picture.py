"""The picture of a learning curve."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from kertl.run_files import save_figure
from kertl.studies._power_law import PowerLaw


def draw(points: Sequence[Any], law: PowerLaw, majority: float, reasons: str, path: str | Path | None) -> Any:
    """Accuracy against the number of training images, and the law from the first size to four times the last.

    Args:
        points: The sizes.
        law: The power law of the validation error.
        majority: The accuracy of always predicting the largest class.
        reasons: The title of the picture.
        path: Where the picture is written, if at all; its suffix decides the format.
    """
    sizes = [point.size for point in points]
    figure = Figure(figsize=(8.0, 4.8), layout="constrained")
    axes = figure.add_subplot()
    for name, colour, mark in (("training", "#E69F00", "s"), ("validation", "#0072B2", "o")):
        runs = [np.array(getattr(point, name)) for point in points]
        low, high = [run.min() for run in runs], [run.max() for run in runs]
        axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(sizes, [run.mean() for run in runs], color=colour, marker=mark, label=f"{name} (band: all repeats)")
    further = np.geomspace(sizes[0], 4 * sizes[-1], 100)
    expected = [1 - law(size) for size in further]
    axes.plot(further, expected, color="#0072B2", linestyle=":", label="power law through validation")
    axes.axhline(majority, color="0.4", linestyle="--", linewidth=1, label="largest class alone")
    axes.set_xscale("log", base=2)
    ticks = [*sizes, 2 * sizes[-1], 4 * sizes[-1]]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training images")
    axes.set_ylabel("accuracy")
    axes.set_title(textwrap.fill(reasons, 100), loc="left", fontsize=9)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return save_figure(figure, path)
