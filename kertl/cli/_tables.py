"""How results look in a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show_metrics(metrics: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """One row per part of the data, and one per class of the last part."""
    table = Table(title="How well it does", title_justify="left")
    for name in ("part", "images", "accuracy", "balanced", "macro F1", "majority class"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for part, values in metrics.items():
        scores = (values[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "majority"))
        table.add_row(part, str(values["images"]), *(f"{score:.4f}" for score in scores))
    console.print(table)
    part, values = list(metrics.items())[-1]
    classes = Table(title=f"By class, {part}", title_justify="left")
    for name in ("class", "images", "precision", "recall"):
        classes.add_column(name, justify="left" if name == "class" else "right")
    for name, row in values["classes"].items():
        classes.add_row(name, str(row["images"]), f"{row['precision']:.4f}", f"{row['recall']:.4f}")
    console.print(classes)
