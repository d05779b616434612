"""How predictions are printed: as JSON, as CSV, or as a table, in the words of each task."""

import csv
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from kertl._terminal import json_text, printable
from kertl.tasks import Answer, task_named

# What `kertl.evaluation.Caution.doubts` gives for each image; None if nobody asked.
Doubts = Sequence[dict[str, Any]] | None


def print_json(files: Sequence[str], answers: Sequence[Answer], doubts: Doubts = None) -> None:
    """A list of objects: `file`, what `kertl.answers` gives, and doubts."""
    told = zip(files, answers, doubts or [{}] * len(files), strict=True)
    rows = [{"file": file, **answer, **doubt} for file, answer, doubt in told]
    typer.echo(json_text(rows))


def print_csv(task: str, files: Sequence[str], answers: Sequence[Answer], doubts: Doubts = None) -> None:
    """A row per image, with the columns of the task: `kertl.tasks.Task.cells`; on a terminal, names are escaped."""
    rows = _with_doubts([task_named(task).cells(answer) for answer in answers], doubts)
    shown = printable if sys.stdout.isatty() else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", *rows[0]])
    for file, row in zip(files, rows, strict=True):
        writer.writerow([shown(str(cell)) for cell in (file, *row.values())])


def print_table(task: str, files: Sequence[str], answers: Sequence[Answer], doubts: Doubts = None) -> None:
    """A row per image, for people: `kertl.tasks.Task.words`."""
    from rich.text import Text

    rows = _with_doubts([task_named(task).words(answer) for answer in answers], doubts)
    table = Table()
    table.add_column("file")
    for heading in rows[0]:
        numbers = all(_is_number(row[heading]) for row in rows)
        table.add_column(heading, justify="right" if numbers else "left")
    for file, row in zip(files, rows, strict=True):
        table.add_row(*(Text(printable(cell)) for cell in (file, *row.values())))
    console = Console()
    # A name that is broken in two cannot be copied, and names that are cut may look alike: it is as wide as it needs.
    whole = console.measure(table, options=console.options.update(width=10_000)).maximum
    Console(width=max(console.width, whole)).print(table, crop=False, no_wrap=True)


def _with_doubts(rows: Sequence[dict[str, str]], doubts: Doubts) -> list[dict[str, str]]:
    if doubts is None:
        return list(rows)
    from kertl.evaluation import Caution

    return [{**row, **Caution.cells(doubt)} for row, doubt in zip(rows, doubts, strict=True)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
