"""Figures of matplotlib as SVG inside a page, in its colours by day and by night."""

import io
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from markupsafe import Markup

_INK = "#010203"  # stands for the page's own colour of text
_PAPER = "#fefdfc"


def figure_as_svg(draw: Callable[[], Any], name: str) -> Markup:
    """A figure as SVG whose text and axes have the colour of the text around it.

    Args:
        draw: Makes the figure.
        name: A word that makes the names inside the SVG different from those of other figures on the page.
    """
    import matplotlib as mpl

    colours = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style = {**dict.fromkeys(colours, _INK), "svg.fonttype": "none", "svg.hashsalt": name, "axes.facecolor": "none"}
    with mpl.rc_context({**style, "font.family": "sans-serif", "legend.facecolor": "none"}):
        content = io.StringIO()
        draw().savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor").replace("DejaVu Sans", "inherit")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(xlink:href="|url\()#', rf"\g<1>#{name}-", svg)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r'<svg \1class="chart" aria-hidden="true"', svg, count=1)
    return Markup(svg)  # noqa: S704, all of it is from matplotlib, which escapes text


def curves(rows: list[dict[str, Any]], best_stage: int) -> dict[str, Callable[[], Any]]:
    """The losses, and the first metric if there is one, by epoch, with the stages marked: a figure of each by name."""
    return {name: partial(_curve, rows, name, best_stage) for name in ("loss", *_first_metric(rows))}


def _curve(rows: list[dict[str, Any]], name: str, best_stage: int) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in rows]
    for key, label, colour in ((name, "training set", "#d55e00"), (f"val_{name}", "validation set", "#3d8fd1")):
        if any(row.get(key) is not None for row in rows):
            values = [_value(row, key) for row in rows]
            axes.plot(epochs, values, color=colour, marker="o", markersize=3, label=label)
    _mark_stages(axes, rows, best_stage)
    axes.set_xlabel("epoch")
    axes.set_ylabel(name.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    return figure


def _first_metric(rows: list[dict[str, Any]]) -> list[str]:
    names = ("accuracy", "mae", "auc")
    return [name for name in names if any(row.get(name) is not None for row in rows)][:1]


def _mark_stages(axes: Any, rows: list[dict[str, Any]], best_stage: int) -> None:
    top, seen = axes.get_ylim()[1], set()
    for row in rows:
        if row["stage"] in seen:
            continue
        seen.add(row["stage"])
        axes.axvline(row["epoch"] - 0.5, color="0.6", linewidth=0.8)
        kept = ", kept" if row["stage"] == best_stage else ""
        axes.annotate(f" {row['at']}{kept}", (row["epoch"] - 0.5, top), va="bottom", fontsize=8)


def _value(row: dict[str, Any], key: str) -> float:
    """A number of an epoch; NaN, which is not drawn, where there is none."""
    value = row.get(key)
    return float("nan") if value is None else float(value)


def compared(by_run: dict[str, list[dict[str, Any]]]) -> Callable[[], Any]:
    """The validation loss of several runs by epoch; the training loss where there is no validation set."""

    def draw() -> Any:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(7.6, 3.8), layout="constrained")
        axes = figure.add_subplot()
        for name, rows in by_run.items():
            key = "val_loss" if any(row.get("val_loss") is not None for row in rows) else "loss"
            axes.plot(
                [row["epoch"] for row in rows],
                [_value(row, key) for row in rows],
                marker="o",
                markersize=3,
                label=f"{name}, {'validation' if key == 'val_loss' else 'training'} set",
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
        return figure

    return draw
