"""How predictions are printed: as JSON, as CSV, or as a table, in the words of each task."""

import csv
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from kertl._terminal import json_text, printable
from kertl.tasks import Answer, task_named

if TYPE_CHECKING:
    from kertl.data._streamed import FileBatches


@dataclasses.dataclass(frozen=True)
class Row:
    """What is printed of a file: an answer, or why there is none."""

    file: str
    answer: Answer | None = None
    """What `kertl.answers` gives."""
    doubt: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What `kertl.evaluation.Caution.doubts` gives; empty if nobody asked."""
    error: str = ""


def rows_of(
    images: "FileBatches", answers: Sequence[Answer], doubts: Sequence[Mapping[str, Any]] | None = None
) -> list[Row]:
    """What is printed of each file, in the order of the files, once they have been read."""
    errors = {issue.path: Row(issue.path, error=issue.reason) for issue in images.issues}
    known = map(Row, images.files, answers, doubts or [{}] * len(images.files))
    return [errors[path] if path in errors else next(known) for path in images.paths]


def print_json(rows: Sequence[Row], reference: Mapping[str, Any] | None = None) -> None:
    """A list of objects: `file`, and the answer with its doubts, or `error`.

    Where the images were compared with those of a run, it is `images` of an object, beside `reference`.
    """
    listed = [{"file": one.file, **(one.answer or {"error": one.error}), **one.doubt} for one in rows]
    typer.echo(json_text(listed if reference is None else {"images": listed, "reference": reference}))


def print_csv(task: str, rows: Sequence[Row]) -> None:
    """A row per file: `file`, the columns of the task (`kertl.tasks.Task.cells`), `error`; escaped on a terminal."""
    cells = _cells(rows, task_named(task).cells)
    shown = printable if sys.stdout.isatty() else str
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = list(next(filter(None, cells)))
    writer.writerow(["file", *columns, "error"])
    for one, row in zip(rows, cells, strict=True):
        writer.writerow(map(shown, (one.file, *(row.get(column, "") for column in columns), one.error)))


def print_table(task: str, rows: Sequence[Row]) -> None:
    """A row per image that could be read, for people: `kertl.tasks.Task.words`."""
    from rich.text import Text

    read = [one for one in rows if one.answer is not None]
    cells = _cells(read, task_named(task).words)
    table = Table()
    table.add_column("file")
    for heading in cells[0]:
        numbers = all(_is_number(row[heading]) for row in cells)
        table.add_column(heading, justify="right" if numbers else "left")
    for one, row in zip(read, cells, strict=True):
        table.add_row(*(Text(printable(cell)) for cell in (one.file, *row.values())))
    console = Console()
    # A name that is broken in two cannot be copied, and names that are cut may look alike: it is as wide as it needs.
    whole = console.measure(table, options=console.options.update(width=10_000)).maximum
    Console(width=max(console.width, whole)).print(table, crop=False, no_wrap=True)
    if any(one.doubt.get("set") == [] for one in read):
        console.print("Where a set is empty, no class is likely enough for the coverage asked for.")


def _cells(rows: Sequence[Row], cells: Callable[[Answer], dict[str, str]]) -> list[dict[str, str]]:
    """The columns of each row between the file and the error; none where there is no answer."""
    from kertl.evaluation import Caution

    return [{} if one.answer is None else {**cells(one.answer), **Caution.cells(dict(one.doubt))} for one in rows]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
