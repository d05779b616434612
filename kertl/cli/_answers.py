"""How predictions are printed: as JSON, as CSV, or as a table, in the words of each task."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

Answer = dict[str, Any]


def print_json(files: Sequence[str], answers: Sequence[Answer]) -> None:
    """A list of objects, `file` and what `kertl.answers` says."""
    rows = [{"file": file, **answer} for file, answer in zip(files, answers, strict=True)]
    typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))


def print_csv(task: str, files: Sequence[str], answers: Sequence[Answer]) -> None:
    """A row per image.

    Single label: `class_1, probability_1, class_2, ...`. Binary: `label`, `positive` (the second class) and its
    `probability`. Multi-label: `labels` and `probabilities`, in one order, with ";" between. Regression: a column per
    target.
    """
    rows = [_cells(task, answer) for answer in answers]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", *rows[0]])
    for file, row in zip(files, rows, strict=True):
        writer.writerow([file, *row.values()])


def print_table(task: str, files: Sequence[str], answers: Sequence[Answer]) -> None:
    """A row per image, for people."""
    from rich.text import Text

    rows = [_words(task, answer) for answer in answers]
    table = Table()
    table.add_column("file", overflow="fold")
    for heading in rows[0]:
        number = heading == "probability" or task == "regression"
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for file, row in zip(files, rows, strict=True):
        table.add_row(*(Text(cell) for cell in (file, *row.values())))
    Console().print(table)


def _cells(task: str, answer: Answer) -> dict[str, str]:
    """The columns of the CSV for one image."""
    if task == "binary":
        return {**answer, "probability": f"{answer['probability']:.6f}"}
    if task == "multi_label":
        return {
            "labels": ";".join(label["class"] for label in answer["labels"]),
            "probabilities": ";".join(f"{label['probability']:.6f}" for label in answer["labels"]),
        }
    if task == "regression":
        return {name: f"{value:.9g}" for name, value in answer["targets"].items()}
    return {
        f"{what}_{number}": place["class"] if what == "class" else f"{place['probability']:.6f}"
        for number, place in enumerate(answer["classes"], start=1)
        for what in ("class", "probability")
    }


def _words(task: str, answer: Answer) -> dict[str, str]:
    """The columns of the table for one image."""
    if task == "binary":
        return {"label": answer["label"], f"probability of {answer['positive']}": f"{answer['probability']:.4f}"}
    if task == "multi_label":
        return {"labels": _listed(answer["labels"]) or "(none)"}
    if task == "regression":
        return {name: f"{value:.6g}" for name, value in answer["targets"].items()}
    best, *others = answer["classes"]
    return {"class": best["class"], "probability": f"{best['probability']:.4f}", "then": _listed(others)}


def _listed(places: Sequence[Answer]) -> str:
    return ", ".join(f"{place['class']} {place['probability']:.4f}" for place in places)
