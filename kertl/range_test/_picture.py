"""The picture of a learning-rate range test."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kertl.run_files import save_figure

# Colour-blind safe (Okabe & Ito, 2008), with marks that can be distinguished in grey.
_LOOKS = {"valley": ("#D55E00", "o"), "steep": ("#009E73", "^"), "minimum": ("#CC79A7", "s"), "slide": ("#E69F00", "D")}


def draw(test: Any, path: str | Path | None) -> Any:
    """The smoothed losses over the rates, those of single steps in the background, and a mark for each suggestion.

    Args:
        test: A `RangeTest`.
        path: Where the picture is written, if at all; its suffix decides the format.
    """
    figure = Figure(figsize=(7.6, 4.4), layout="constrained")
    axes = figure.add_subplot()
    rates, losses = test.learning_rates, test.losses
    for run in test.runs:
        axes.plot(run.learning_rates, run.learnt, color="0.75", linewidth=0.8, zorder=1)
        if len(test.runs) > 1:
            axes.plot(run.learning_rates, run.losses, color="#56B4E9", linewidth=0.8, zorder=2)
    alone = ", corrected for its batch" if any(run.standing is not None for run in test.runs) else ""
    axes.plot([], [], color="0.75", linewidth=0.8, label=f"each step{alone}")
    axes.plot(rates, losses, color="#0072B2", linewidth=2, zorder=3, label="smoothed loss")
    for name, rate in test.suggestions.items():
        if rate is not None:
            colour, mark = _LOOKS[name]
            place = abs(rates - rate).argmin()
            axes.plot(rate, losses[place], mark, color=colour, markersize=8, zorder=4, label=f"{name} {rate:.1e}")
    if len(losses):  # a divergence would flatten all else
        room = max(losses[0] - losses.min(), abs(losses[0]) / 5) or 1.0
        axes.set_ylim(losses.min() - room, losses[0] + room)
    even = len(rates) > 2 and np.allclose(np.diff(rates), rates[1] - rates[0], atol=0)
    axes.set_xscale("linear" if even else "log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    found = "" if test.suggestion is not None else ": the loss does not fall, so nothing is suggested"
    axes.set_title(f"Learning-rate range test{found}", loc="left")
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return save_figure(figure, path)
