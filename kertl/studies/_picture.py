"""The pictures of a learning curve and of a cross-validation."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from sklearn.metrics import confusion_matrix

from kertl.run_files import save_figure
from kertl.studies._power_law import PowerLaw
from kertl.tasks import task_named


def draw_curve(points: Sequence[Any], law: PowerLaw, majority: float, reasons: str, path: str | Path | None) -> Any:
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


def draw_folds(found: Any, path: str | Path | None) -> Any:
    """The score of each fold, and the out-of-fold predictions against the truth.

    For one class per image that is which classes are taken for which, for several labels the F1 of each class, for
    targets each prediction over its target, in standard deviations of the target where there are several.

    Args:
        found: A `CrossValidation`.
        path: Where the picture is written, if at all; its suffix decides the format.
    """
    figure = Figure(figsize=(11.0, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    numbers = [fold.number + 1 for fold in found.folds]
    task = task_named(found.task)
    left.plot(numbers, found.scores, "o", color="#0072B2", label="fold")
    left.axhline(found.mean, color="#0072B2", linewidth=1, label="mean")
    left.axhline(found.majority, color="0.4", linestyle="--", linewidth=1, label=f"{task.constant} alone")
    left.set_xticks(numbers)
    left.set_xlabel("fold")
    left.set_ylabel({"mae": "mean absolute error"}.get(task.score, task.score))
    left.grid(axis="y", color="0.9")
    left.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=9)
    draw = _draw_confusion if task.one_class else _draw_targets if task.output_of == "target" else _draw_f1
    draw(figure, right, found)
    return save_figure(figure, path)


def _draw_confusion(figure: Figure, axes: Axes, found: Any) -> None:
    names = list(found.class_names)
    counts = confusion_matrix(found.labels, found.predictions.argmax(axis=1), labels=range(len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(picture, ax=axes, label="share of the images of the class")
    if len(names) <= 12:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=9)
    if len(names) <= 40:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")


def _draw_f1(figure: Figure, axes: Axes, found: Any) -> None:
    thresholds = np.full(len(found.class_names), 0.5)
    task = task_named(found.task)
    rows = task.judge(found.labels, found.predictions, found.class_names, thresholds, quick=True)["classes"]
    axes.barh(list(rows), [row["f1"] for row in rows.values()], color="#0072B2")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("F1 at a threshold of 0.5, all folds together")
    axes.spines[["top", "right"]].set_visible(False)


def _draw_targets(figure: Figure, axes: Axes, found: Any) -> None:
    several = len(found.class_names) > 1
    spread = np.where(found.labels.std(axis=0) > 0, found.labels.std(axis=0), 1.0) if several else 1.0
    middle = found.labels.mean(axis=0) if several else 0.0
    true, predicted = (found.labels - middle) / spread, (found.predictions - middle) / spread
    for name, x, y in zip(found.class_names, true.T, predicted.T, strict=True):
        axes.plot(x, y, ".", alpha=0.6, label=name)
    ends = [true.min(), true.max()]
    axes.plot(ends, ends, color="0.4", linewidth=1, label="a perfect prediction")
    unit = ", in standard deviations from its mean" if several else ""
    axes.set_xlabel(f"true target{unit}")
    axes.set_ylabel("predicted target")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
