"""The picture of accuracy by depth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kertl.run_files import save_figure

# Colour-blind safe (Okabe & Ito, 2008), with marks that can be distinguished in grey.
_LOOKS = (("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))


def draw(rows: Sequence[Any], majority: float, images: int, path: str | Path | None) -> Any:
    """A line per method over single boundaries from input to end, and marks for those joined.

    Args:
        rows: The baselines.
        majority: The accuracy of always predicting the largest class.
        images: How many images the accuracies are measured on.
        path: Where the picture is written, if at all; its suffix decides the format.
    """
    names = list(dict.fromkeys(row.boundary for row in rows))
    single = [name for name in names if " + " not in name]
    # A gap before the joined ones, which are not a depth of their own.
    places = {name: place + (0.5 if name not in single else 0) for place, name in enumerate(names)}
    figure = Figure(figsize=(max(6.4, 1.1 * len(names) + 3), 4.4), layout="constrained")
    axes = figure.add_subplot()
    for (colour, mark), method in zip(_LOOKS, dict.fromkeys(row.method for row in rows), strict=False):
        found = {row.boundary: row.validation_accuracy for row in rows if row.method == method}
        line: dict[str, Any] = {"color": colour, "marker": mark, "markersize": 6}
        axes.plot([places[name] for name in single], [found[name] for name in single], label=method, **line)
        joined = [name for name in names if name not in single]
        axes.plot([places[name] for name in joined], [found[name] for name in joined], linestyle="", **line)
    axes.axhline(majority, color="0.4", linestyle="--", linewidth=1, label="largest class alone")
    axes.set_xticks(list(places.values()), [name.replace(" + ", "\n+ ") for name in places], fontsize=9)
    axes.set_xlabel("features after (from the input to the end; right: joined)")
    axes.set_ylabel(f"accuracy on {images} validation images")
    axes.set_title("Classical classifiers on frozen features", loc="left")
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return save_figure(figure, path)
