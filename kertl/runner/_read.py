"""Runs that have been written, and the images that they were trained on."""

import json
from pathlib import Path
from typing import Any

from kertl.data import ImageData, from_csv
from kertl.errors import DataError, RunError
from kertl.model import load, model_info
from kertl.recipe import Recipe
from kertl.run_files import read_json, read_text
from kertl.runner._directory import BATCHES, DATA, RECIPE, RunDirectory
from kertl.runner._run import Run, StageValue


def read_run(path: str | Path) -> Run:
    """The finished run in a directory, with its model.

    Args:
        path: The run directory.

    Raises:
        RunError: If it holds no finished run, or a file is damaged.
    """
    directory = RunDirectory(path)
    if not directory.finished:
        raise RunError(
            f"`path` must be the directory of a finished run. Received: path={str(path)!r}. "
            "The call that began it resumes it from its last checkpoint."
        )
    directory.check_sums()
    model = load(Path(path))
    with directory.readable(RECIPE, "a recipe, as JSON"):
        recipe = Recipe.from_json(read_text(Path(path) / RECIPE))
    metrics = directory.read_metrics(model.output_shape[-1])
    parts: dict[str, Any] = {name: metrics[name] for name in ("validation", "test") if name in metrics}
    rows = directory.read_history(recipe)
    ends = tuple(StageValue(**one) for one in metrics.get("stages", ()))
    return Run(model, recipe, rows, parts, Path(path), metrics.get("best_stage") or 0, ends, metrics.get("refit"))


def data_of(run: Run, root: str | Path | None = None) -> ImageData | None:
    """The images of a run, if they are where they were.

    Args:
        run: A run with a directory.
        root: The folder that the files in data.csv are relative to; None for where they were.

    Raises:
        DataError: If a root is given and the images are not there.
    """
    folder, info = Path(str(run.run_dir)), model_info(run.model)
    told = root or _text(folder / "environment.json", "images")
    if told is None or info is None:
        return None
    several = info.task == "multi_label" or (info.task == "regression" and len(info.class_names) > 1)
    batches = read_json(folder / BATCHES)
    try:
        return from_csv(
            folder / DATA,
            split_column="split",
            root=told,
            task=info.task,
            class_names=list(info.class_names),
            separator=";" if several else None,
            **{name: batches[name] for name in ("channels", "resize", "batch_size", "seed")},
            image_size=tuple(batches["image_size"]),
        )
    except DataError:
        if root is not None:
            raise
        return None


def _text(file: Path, name: str) -> str | None:
    """A text in a JSON file that may be missing or damaged."""
    try:
        found = json.loads(read_text(file)).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
