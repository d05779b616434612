"""How results look in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kertl._terminal import printable, shortened
from kertl.tasks import TASKS


def show_metrics(metrics: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    """One row per part of the data, and one per class or target of the last part."""
    part, last = list(metrics.items())[-1]
    task = next(task for task in TASKS.values() if set(task.part_columns.values()) <= last.keys())
    _show("How well it does", "part", ["images"], task.part_columns, metrics, console)
    if intervals := last.get("intervals"):
        shown = {heading: intervals[key] for heading, key in task.part_columns.items() if key in intervals}
        told = ", ".join(f"{heading} {_number(low)} to {_number(high)}" for heading, (low, high) in shown.items())
        console.print(f"95 % intervals: {told}.", markup=False, highlight=False)
    thresholds = last.get("thresholds", {})
    rows, columns = last[task.outputs_of], dict(task.row_columns)
    if thresholds:
        rows = {name: {**row, "threshold": thresholds.get(name)} for name, row in rows.items()}
        columns["threshold"] = "threshold"
    counts = [] if task.output_of == "target" else ["images"]
    _show(f"By {task.output_of}, {part}", task.output_of, counts, columns, rows, console)
    if thresholds:
        console.print(
            "A class counts as predicted from its threshold on: 0.5, unless training chose it for the highest F1 on "
            "validation images.",
            highlight=False,
        )


def _show(
    title: str,
    what: str,
    counts: Sequence[str],
    columns: Mapping[str, str],
    rows: Mapping[str, Mapping[str, Any]],
    console: Console,
) -> None:
    table = Table(title=Text(printable(title)), title_justify="left")
    table.add_column(what)
    for heading in (*counts, *columns):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, row in rows.items():
        shown = ("-" if row[metric] is None else _number(row[metric]) for metric in columns.values())
        # Names give way to numbers where a terminal is narrow.
        table.add_row(
            Text(shortened(name), no_wrap=True, overflow="ellipsis"), *(str(row[count]) for count in counts), *shown
        )
    console.print(table)


def _number(value: float) -> str:
    """Four decimal places, or six digits of a large number."""
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.6g}"
