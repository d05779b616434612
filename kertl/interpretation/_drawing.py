"""The pictures of an interpretation."""

from pathlib import Path
from typing import Any

from kertl.run_files import save_figure

_SURE, _IDEAL = "#0072B2", "0.5"


def draw_reliability(calibration: Any, path: str | Path | None) -> Any:
    """The share of right predictions against their confidence; on the diagonal they agree.

    Args:
        calibration: A `Calibration`.
        path: Where the picture is written, if at all; its suffix decides the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=_IDEAL, linestyle="--", linewidth=1, label="as often right as it says")
    most = max(one.images for one in calibration.bins)
    axes.plot(
        [one.confidence for one in calibration.bins],
        [one.accuracy for one in calibration.bins],
        color=_SURE,
        linewidth=1,
        label="this model",
    )
    axes.scatter(
        [one.confidence for one in calibration.bins],
        [one.accuracy for one in calibration.bins],
        s=[12 + 120 * one.images / most for one in calibration.bins],
        color=_SURE,
        label="ten bins; the size shows how many predictions",
    )
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("predicted probability")
    axes.set_ylabel("share that is right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper left")
    return save_figure(figure, path)
