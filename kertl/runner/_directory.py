"""The run directory: everything needed to trust and to repeat a run."""

import csv
import difflib
import hashlib
import io
import json
import logging
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl import hardware
from kertl.data import ImageData
from kertl.errors import RunError
from kertl.groups import find_chain
from kertl.model import MODEL_FILE, architecture, save
from kertl.recipe import Recipe
from kertl.run_files import remove_partial, replace_file, write_json, write_text
from kertl.runner._checkpoint_files import CheckpointFiles
from kertl.runner._lock import locked

_logger = logging.getLogger(__name__)

RECIPE, DATA, BATCHES, ARCHITECTURE = "recipe.json", "data.csv", "data.json", "model.json"
HISTORY, METRICS, CHOICES, START = "history.csv", "metrics.json", "choices.json", "start.npz"


class RunDirectory:
    """Writes the files of a run, each replaced as a whole; without a path it writes nothing.

    Args:
        path: The directory, made if there is none; None for a run that leaves no files.
        cache_dir: Where features are cached; None for a folder of the directory.
    """

    def __init__(self, path: str | Path | None, cache_dir: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._cache_dir = None if cache_dir is None else Path(cache_dir)
        self.checkpoints = None if self.path is None else CheckpointFiles(self.path / "checkpoints")

    @property
    def tensorboard(self) -> Path | None:
        """Where TensorBoard's events go."""
        return None if self.path is None else self.path / "tensorboard"

    @property
    def finished(self) -> bool:
        """Whether it holds a finished run."""
        return self.path is not None and (self.path / METRICS).is_file() and (self.path / MODEL_FILE).is_file()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Lock the directory for this process.

        Raises:
            RunError: If another process uses it, or it cannot be made or written to.
        """
        if self.path is None:
            yield
            return
        with locked(self.path):
            remove_partial(self.path)
            yield

    @property
    def features(self) -> Path | None:
        """Where features are cached."""
        return self._cache_dir or (None if self.path is None else self.path / "features")

    def refuse_other(self, recipe: Recipe, data: ImageData, model: keras.Model) -> dict[str, str]:
        """The description of the run, as the text of each of its files; the directory must not belong to another run.

        Raises:
            RunError: If it holds a run of another recipe, of other data, or of another model; the difference is shown.
        """
        if self.path is None:
            return {}
        now = {
            RECIPE: recipe.to_json(),
            DATA: data.csv_text(),
            BATCHES: _batches(data),
            ARCHITECTURE: _described(model),
        }
        for (name, text), what in zip(now.items(), ("recipe", "data", "batches", "model"), strict=True):
            _refuse_other(self.path / name, text, what, _files_that_differ if name == DATA else _lines_that_differ)
        return now

    def begin(self, recipe: Recipe, data: ImageData, model: keras.Model) -> Any:
        """Write the description of the run; returns the last checkpoint of an unfinished one, or None.

        Raises:
            RunError: If the directory is another run's, its checkpoints cannot be used, or there is no space.
        """
        if self.path is None or self.checkpoints is None:
            return None
        now = self.refuse_other(recipe, data, model)
        last = self.checkpoints.read()
        if last is None and (self.path / HISTORY).exists():
            raise RunError(
                f"`run_dir` must be a new directory, or have a checkpoint to resume from. Received: "
                f"run_dir={str(self.path)!r}, with a {HISTORY} and no checkpoint. Restore its checkpoints/, or "
                f"remove the directory to begin again."
            )
        self._check_space(model)
        for name, text in now.items():
            write_text(self.path / name, text)
        write_json(self.path / "environment.json", hardware.describe())
        return last

    def _check_space(self, model: keras.Model) -> None:
        """The least space that a run takes: the model, and three checkpoints with three sets of weights each."""
        size = 4 * model.count_params()
        free = shutil.disk_usage(str(self.path)).free
        if free < 10 * size:
            raise RunError(
                f"`run_dir` must have at least {10 * size / 1e6:,.0f} MB of free space for checkpoints and the model. "
                f"Received: run_dir={str(self.path)!r}, with {free / 1e6:,.0f} MB. Make room, or choose another disk."
            )

    def start_weights(self, model: keras.Model) -> list[np.ndarray]:
        """The weights that the run began with; a run that resumes has stored them.

        Raises:
            RunError: If the stored weights are damaged.
        """
        if self.path is None:
            return list(model.get_weights())
        file = self.path / START
        if not file.exists():
            kept = {str(place): value for place, value in enumerate(model.get_weights())}
            replace_file(file, lambda beside: np.savez(beside, **kept))
        try:
            with np.load(file, allow_pickle=False) as archive:
                return [archive[str(place)] for place in range(len(archive.files))]
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise RunError(
                f"{str(file)!r} must hold the weights that the run began with. Received: {error}. Restore it, or "
                f"remove the directory to begin again."
            ) from error

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

    def read_choices(self) -> dict[str, Any]:
        """What a run that resumes has chosen for each stage."""
        file = None if self.path is None else self.path / CHOICES
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file and file.is_file() else {}

    def write_choices(self, choices: Mapping[str, Any]) -> None:
        """Write what is chosen, before it is acted on."""
        if self.path is not None:
            write_json(self.path / CHOICES, choices)

    def write_model(self, model: keras.Model) -> None:
        """Save the model as it is now."""
        if self.path is not None:
            save(model, self.path / MODEL_FILE)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics, which ends the run."""
        if self.path is not None:
            write_json(self.path / METRICS, metrics)


def read_metrics(path: Path) -> dict[str, Any]:
    """The metrics of a finished run.

    Raises:
        RunError: If the file holds something else.
    """
    file = path / METRICS
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{str(file)!r} must hold the metrics of a run, as JSON. Received: {error}. Remove it; the same call then "
            f"resumes from the last checkpoint and writes it again."
        ) from error


def _refuse_other(file: Path, now: str, what: str, differences: Callable[[str, str], list[str]]) -> None:
    if not file.exists():
        return
    before = file.read_text(encoding="utf-8", errors="surrogateescape")
    if before == now:
        return
    lines = [line if len(line) < 200 else f"{line[:199]}…" for line in differences(before, now)]
    more = f"\n  … and {len(lines) - 20} more lines" if len(lines) > 20 else ""
    shown = "\n  ".join(lines[:20])
    raise RunError(
        f"`run_dir` must be a new directory, or one of the same {what}. Received: run_dir={str(file.parent)!r}, "
        f"whose {file.name} differs:\n  {shown}{more}\nChoose another directory, or remove this one."
    )


def _batches(data: ImageData) -> str:
    """What decides, besides the images themselves, what a batch holds, as JSON."""
    names = ("task", "image_size", "channels", "resize", "batch_size", "seed")
    return json.dumps({name: getattr(data, name) for name in names}, indent=2) + "\n"


def _described(model: keras.Model) -> str:
    """The layers of a model, and a digest of the pretrained weights; those of a new head may be random."""
    digest = hashlib.sha256()
    for group in find_chain(model).backbone_groups:
        for variable in group.variables:
            digest.update(keras.ops.convert_to_numpy(variable).tobytes())
    return f'{{"backbone_weights": "{digest.hexdigest()}", "layers":\n{architecture(model)}}}\n'


def _lines_that_differ(before: str, now: str) -> list[str]:
    return list(difflib.unified_diff(before.splitlines(), now.splitlines(), "there", "now", lineterm="", n=0))


def _files_that_differ(before: str, now: str) -> list[str]:
    """Each image that is new, gone or changed, and how."""
    old, new = ({row["file"]: row for row in csv.DictReader(io.StringIO(text))} for text in (before, now))
    lines = [f"{file!r} is gone" for file in old if file not in new]
    for file, row in new.items():
        if file not in old:
            lines.append(f"{file!r} is new")
        elif row.get("sha256") != old[file].get("sha256"):
            lines.append(f"{file!r} has other content")
        elif row != old[file]:
            changed = [name for name in row if row[name] != old[file].get(name)]
            lines.append(
                f"{file!r}: " + ", ".join(f"{name} {old[file].get(name)!r} is now {row[name]!r}" for name in changed)
            )
    return lines or _lines_that_differ(before, now)


def _value(name: str, text: str) -> Any:
    if name in ("stage", "epoch"):
        return int(text)
    return text if name == "at" else float(text or "nan")
