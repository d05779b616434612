"""Reading what is diagnosed: a run, a history, a log, a run directory, or a folder of TensorBoard's."""

import csv
import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kertl._checks import complain
from kertl.diagnosis._curves import Curves, Known
from kertl.diagnosis._events import event_files, read_events
from kertl.errors import RunError
from kertl.recipe import Recipe
from kertl.run_files import local_run, read_json, read_text

_PATHS = "a run directory, a CSV log, or a folder of TensorBoard events"
_ACCEPTED = f"a kertl.Run, what `fit` returns, a dictionary or a data frame of columns, or the path of {_PATHS}"
_LARGEST_METRICS = 512 * 2**20
_HISTORY, _RECIPE, _METRICS, _DATA = "history.csv", "recipe.json", "metrics.json", "data.json"


def read(source: Any) -> tuple[Curves, Known]:
    """The curves of a training, the last one in its source, and what the source says besides.

    Raises:
        ValueError: If the source is none of those that are accepted, or there is no epoch in it.
        RunError: If the file of a run cannot be read.
    """
    curves, known = _read(source)
    last = curves.last_training()
    return last, dataclasses.replace(known, rows_left_out=len(curves) - len(last))


def _read(source: Any) -> tuple[Curves, Known]:
    if isinstance(source, (str, os.PathLike)):
        return _of_path(local_run(source, "source"))
    if hasattr(source, "rows") and hasattr(source, "recipe"):
        return Curves.of_rows(source.rows, "source"), known_of(source.metrics, source.recipe)
    if hasattr(source, "columns") and not isinstance(source, Mapping):  # a data frame
        source = {str(name): source[name] for name in source.columns}
    history = getattr(source, "history", source)
    if isinstance(history, Mapping):
        return Curves(history, "source"), _known_of_model(getattr(source, "model", None))
    raise complain("source", _ACCEPTED, source)


def known_of(metrics: Mapping[str, Any], recipe: Recipe | None, task: str | None = None) -> Known:
    """What the metrics of a run say, as `kertl.Run.metrics` has them."""
    validation, test = metrics.get("validation") or {}, metrics.get("test") or {}
    rows = validation.get("classes") or {}
    if task is None and validation:
        task = "regression" if "targets" in validation else "multi_label" if "exact" in validation else "single_label"
    one_class = task in ("single_label", "binary")
    recalls = tuple(float(row["recall"]) for row in rows.values() if row.get("recall") is not None)
    return Known(
        task=task,
        classes=len(rows) if one_class and rows else None,
        validation_images=validation.get("images"),
        majority=validation.get("majority"),
        # The losses of a run measure targets in units of their standard deviations.
        baseline=1.0 if task == "regression" and recipe and recipe.stages[-1].loss in ("auto", "mse") else None,
        recalls=recalls if one_class else (),
        validation_accuracy=validation.get("accuracy"),
        test_accuracy=test.get("accuracy"),
        test_images=test.get("images"),
        validation_error=validation.get("mae"),
        test_error=test.get("mae"),
        recipe=recipe,
    )


def _known_of_model(model: Any) -> Known:
    """What a fitted Keras model tells: its task by its loss, and the number of classes by its outputs."""
    loss = str(getattr(model, "loss", "")).lower().replace("_", "")
    shape = getattr(model, "output_shape", None)
    outputs = shape[-1] if isinstance(shape, tuple) else None
    if outputs and "categorical" in loss:
        return Known(task="single_label", classes=int(outputs))
    if outputs and "binarycrossentropy" in loss:
        return Known(task="binary", classes=2) if outputs == 1 else Known(task="multi_label")
    if "squared" in loss or "absolute" in loss or loss in ("mse", "mae"):
        return Known(task="regression")
    return Known()


def _of_path(path: Path) -> tuple[Curves, Known]:
    if path.is_file():
        if "tfevents" in path.name:
            return Curves.of_rows(read_events(path), "source"), Known()
        return Curves.of_rows(_rows_of_csv(path), "source"), Known()
    if not path.is_dir():
        raise complain("source", _PATHS, str(path), "There is no such file or directory.")
    ours = (path / _RECIPE).is_file()
    known = _known_of_directory(path) if ours else Known()
    if (path / _HISTORY).is_file():
        return Curves.of_rows(_rows_of_csv(path / _HISTORY), "source"), known
    if event_files(path):
        return Curves.of_rows(read_events(path), "source"), known
    if ours:
        raise complain(
            "source",
            "a run of which an epoch has ended",
            f"{str(path)!r}, without a {_HISTORY} and without TensorBoard events",
            "Wait until its first epoch has ended, or let it resume.",
        )
    raise complain("source", _PATHS, str(path), f"The directory has no {_HISTORY} and no event files.")


def _known_of_directory(path: Path) -> Known:
    """What the files of a run say besides its epochs; a run that has not ended has no metrics yet."""
    try:
        recipe = Recipe.from_json(read_text(path / _RECIPE))
        task = read_json(path / _DATA).get("task") if (path / _DATA).is_file() else None
        metrics = read_json(path / _METRICS, _LARGEST_METRICS) if (path / _METRICS).is_file() else {}
        return known_of(metrics, recipe, task)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"{str(path)!r} must hold the files of a run. Received: {error}. Restore it, or pass its {_HISTORY} alone.",
            code="damaged",
        ) from error


def _rows_of_csv(path: Path) -> list[dict[str, Any]]:
    """The rows of a log of epochs.

    Raises:
        ValueError: If there are none, or one of them is half written.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise complain("source", "a readable log", str(path), f"{error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise complain(
            "source", "a log of epochs, as text", str(path), "A model has none; name its run directory."
        ) from error
    if not text.strip():
        raise complain("source", "a log of at least one epoch", f"{str(path)!r}, which is empty", "Wait for an epoch.")
    header = text.splitlines()[0]
    delimiter = max(",;\t", key=header.count)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if line]
    except csv.Error as error:
        raise complain("source", "a CSV log", str(path), f"It cannot be read: {error}.") from error
    names, rows = lines[0], lines[1:]
    if not rows:
        raise complain("source", "a log of at least one epoch", f"{str(path)!r}, with a header alone", "Wait for one.")
    _check_cells(path, names, rows)
    return [dict(zip(names, map(_cell, row), strict=True)) for row in rows]


def _check_cells(path: Path, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            received = f"{str(path)!r}, whose row {number} has {len(row)} of {len(names)} values"
            raise complain("source", "a log with whole rows", received, "Wait until it is written, or remove the row.")


def _cell(text: str) -> Any:
    """A value; a log has NA where an epoch had none."""
    return None if text in ("", "NA") else text
