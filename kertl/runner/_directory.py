"""The run directory: everything needed to trust and to repeat a run."""

import csv
import difflib
import io
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kertl import hardware
from kertl.data import ImageData
from kertl.errors import RunError
from kertl.model import save
from kertl.recipe import Recipe
from kertl.run_files import write_json, write_text

_logger = logging.getLogger(__name__)

MODEL, RECIPE, DATA, HISTORY, METRICS = "model.keras", "recipe.json", "data.csv", "history.csv", "metrics.json"


class RunDirectory:
    """Writes the files of a run, each replaced as a whole; without a path it writes nothing.

    Args:
        path: The directory, made if there is none; None for a run that leaves no files.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)

    @property
    def tensorboard(self) -> Path | None:
        """Where TensorBoard's events go."""
        return None if self.path is None else self.path / "tensorboard"

    def refuse_other(self, recipe: Recipe, data: ImageData) -> None:
        """Find that the directory is another run's.

        Raises:
            RunError: If the directory holds a run of another recipe or of other data; the difference is shown.
        """
        if self.path is not None:
            _refuse_other(self.path / RECIPE, recipe.to_json(), "recipe")
            _refuse_other(self.path / DATA, data.csv_text(), "data")

    def begin(self, recipe: Recipe, data: ImageData) -> None:
        """Write what the run is; an unfinished one of the same recipe and data begins again."""
        if self.path is None:
            return
        self.refuse_other(recipe, data)
        if (self.path / HISTORY).exists():
            _logger.warning("%s holds an unfinished run of this recipe and data, which begins again.", self.path)
        write_text(self.path / RECIPE, recipe.to_json())
        data.write_csv(self.path / DATA)
        write_json(self.path / "environment.json", hardware.describe())

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the epochs so far, a row each."""
        if self.path is None or not rows:
            return
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / HISTORY, text.getvalue())

    def read_history(self, recipe: Recipe) -> list[dict[str, Any]]:
        """The rows that `write_history` wrote in a run of `recipe`; numbers are numbers again."""
        if self.path is None:
            return []
        with (self.path / HISTORY).open(newline="", encoding="utf-8") as file:
            rows = [{name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)]
        return [{**row, "at": recipe.stages[row["stage"]].at} for row in rows]

    def write_model(self, model: keras.Model) -> None:
        """Save the model as it is now."""
        if self.path is not None:
            save(model, self.path / MODEL)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics, which ends the run."""
        if self.path is not None:
            write_json(self.path / METRICS, metrics)


def finished(path: Path) -> bool:
    """Whether the directory holds a run that has come to its end."""
    return (path / METRICS).is_file() and (path / MODEL).is_file()


def read_metrics(path: Path) -> dict[str, Any]:
    """The metrics of a finished run."""
    values = json.loads((path / METRICS).read_text(encoding="utf-8"))
    return dict(values)


def _refuse_other(file: Path, now: str, what: str) -> None:
    if not file.exists():
        return
    before = file.read_text(encoding="utf-8", errors="surrogateescape")
    if before == now:
        return
    lines = list(difflib.unified_diff(before.splitlines(), now.splitlines(), "there", "now", lineterm="", n=0))
    more = f"\n  … and {len(lines) - 20} more lines" if len(lines) > 20 else ""
    shown = "\n  ".join(lines[:20])
    raise RunError(
        f"`run_dir` must be a new directory, or one of the same {what}. Received: run_dir={str(file.parent)!r}, "
        f"whose {file.name} differs:\n  {shown}{more}\nChoose another directory, or remove this one."
    )


def _value(name: str, text: str) -> Any:
    if name in ("stage", "epoch"):
        return int(text)
    return text if name == "at" else float(text or "nan")
