"""How results look in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

# heading -> name of the figure, for the parts and for the classes or targets of the last of them
_PARTS = {
    "classes": {
        "accuracy": "accuracy",
        "balanced": "balanced_accuracy",
        "macro F1": "macro_f1",
        "majority class": "majority",
    },
    "labels": {
        "all right": "exact",
        "macro F1": "macro_f1",
        "micro F1": "micro_f1",
        "AUC": "auc",
        "avg. precision": "average_precision",
    },
    "targets": {"MAE": "mae", "RMSE": "rmse", "R²": "r2"},
}
_ROWS = {
    "classes": {"precision": "precision", "recall": "recall"},
    "labels": {"precision": "precision", "recall": "recall", "F1": "f1", "AUC": "auc"},
    "targets": {"MAE": "mae", "RMSE": "rmse", "R²": "r2"},
}


def show_metrics(metrics: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """One row per part of the data, and one per class or target of the last part."""
    part, last = list(metrics.items())[-1]
    kind = "targets" if "targets" in last else "labels" if "exact" in last else "classes"
    _show("How well it does", "part", ["images"], _PARTS[kind], metrics, console)
    thresholds = last.get("thresholds", {})
    if kind == "targets":
        _show(f"By target, {part}", "target", [], _ROWS[kind], last["targets"], console)
        return
    rows = {name: {**row, "threshold": thresholds.get(name)} for name, row in last["classes"].items()}
    figures = {**_ROWS[kind], "threshold": "threshold"} if thresholds else _ROWS[kind]
    _show(f"By class, {part}", "class", ["images"], figures, rows, console)


def _show(
    title: str,
    what: str,
    counts: Sequence[str],
    figures: Mapping[str, str],
    rows: Mapping[str, Mapping[str, Any]],
    console: Console,
) -> None:
    table = Table(title=title, title_justify="left")
    for heading in (what, *counts, *figures):
        table.add_column(heading, justify="left" if heading == what else "right")
    for name, row in rows.items():
        shown = ("-" if row[figure] is None else _number(row[figure]) for figure in figures.values())
        table.add_row(name, *(str(row[count]) for count in counts), *shown)
    console.print(table)


def _number(value: float) -> str:
    """Four places behind the point, or six digits of a large number."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.6g}"
