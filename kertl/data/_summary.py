"""What a data set looks like in a terminal: classes and parts, or targets and their distribution."""

import io
import reprlib
from collections.abc import Mapping, Sequence

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kertl._terminal import shortened
from kertl.data._split import PARTS
from kertl.tasks import Task, task_named


def kind_of(task: str, class_names: Sequence[str]) -> str:
    """The task and its classes or targets in a few words; only the first few of many."""
    few = reprlib.Repr()
    few.maxlist, few.maxstring = 5, 30
    kind = task_named(task).outputs_of
    return f"{task}, {len(class_names)} {kind}: {few.repr(list(class_names))}"


def table_of(task: str, class_names: Sequence[str], labels: Mapping[str, np.ndarray]) -> str:
    """The table that fits the task, from the labels of each part that has images."""
    asked = task_named(task)
    table = _targets(class_names, labels) if asked.output_of == "target" else _classes(asked, class_names, labels)
    text = io.StringIO()
    Console(file=text, width=80, markup=False).print(table)
    return text.getvalue()


def _classes(task: Task, names: Sequence[str], labels: Mapping[str, np.ndarray]) -> Table:
    """The number of images of each class in each part, of those without a class if there are any, and of all."""
    table = Table(box=box.SIMPLE)
    table.add_column("class")
    for part in (*PARTS, "all"):
        table.add_column(part, justify="right")

    def add(name: str, counts: Mapping[str, int]) -> None:
        row = [int(counts.get(part, 0)) for part in PARTS]
        table.add_row(Text(shortened(name)), *map(str, row), str(sum(row)))

    held = {part: np.asarray(task.members(values, len(names))) for part, values in labels.items()}
    for number, name in enumerate(names):
        add(name, {part: rows[:, number].sum() for part, rows in held.items()})
    without = {part: (~rows.any(axis=1)).sum() for part, rows in held.items()}
    if any(without.values()):
        add("(none)", without)
    table.add_section()
    add("all", {part: len(rows) for part, rows in held.items()})
    return table


def _targets(names: Sequence[str], labels: Mapping[str, np.ndarray]) -> Table:
    """Mean, standard deviation, least and largest value of each target in each part."""
    table = Table(box=box.SIMPLE)
    for heading in ("target", "part", "images", "mean", "std", "min", "max"):
        table.add_column(heading, justify="left" if heading in ("target", "part") else "right")
    everything = {**labels, "all": np.concatenate(list(labels.values()))}
    for column, name in enumerate(names):
        for part, values in everything.items():
            chosen = values[:, column].astype(np.float64)
            statistics = (chosen.mean(), chosen.std(), chosen.min(), chosen.max())
            table.add_row(Text(shortened(name)), part, str(len(chosen)), *(f"{value:.6g}" for value in statistics))
    return table
