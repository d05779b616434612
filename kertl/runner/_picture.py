"""The losses of a run by epoch, drawn."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kertl.run_files import save_figure


def draw(rows: Sequence[Mapping[str, Any]], best_stage: int, path: str | Path | None) -> Any:
    """The losses on the training and the validation set over the epochs; each stage under its boundary."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    for name, label in (("loss", "training set"), ("val_loss", "validation set")):
        if rows and name in rows[0]:
            axes.plot(epochs, [row[name] for row in rows], marker="o", markersize=3, label=label)
    top = axes.get_ylim()[1]
    for stage, of_stage in itertools.groupby(rows, key=lambda row: row["stage"]):
        first = next(of_stage)
        axes.axvline(first["epoch"] - 0.5, color="0.7", linewidth=0.8)
        name = f" {first['at']}" + (": its weights are the model's" if stage == best_stage else "")
        axes.annotate(name, (first["epoch"] - 0.5, top), va="bottom", fontsize=9)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, path)
