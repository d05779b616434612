"""Runs that have been written, and the images that they were trained on."""

import csv
from pathlib import Path
from typing import Any

from kertl._places import as_given
from kertl.data import ImageData, Record
from kertl.errors import RunError
from kertl.evaluation import run_images
from kertl.model import load, model_info
from kertl.recipe import Recipe
from kertl.run_files import SUMS, local_run, read_json, read_text
from kertl.runner._description import BATCHES, DATA, RECIPE
from kertl.runner._directory import RESULTS, RunDirectory
from kertl.runner._run import Run, StageValue


def read_run(path: str | Path) -> Run:
    """The finished run in a directory, with its model.

    Args:
        path: The run directory.

    Raises:
        RunError: If it holds no finished run, or a file is damaged.
    """
    path = local_run(path, "path")
    directory = check_finished(path)
    model = load(path)
    with directory.readable(RECIPE, "a recipe, as JSON"):
        recipe = Recipe.from_json(read_text(path / RECIPE))
    metrics = directory.read_metrics(model.output_shape[-1])
    parts: dict[str, Any] = {name: metrics[name] for name in ("validation", "test") if name in metrics}
    rows = directory.read_history(recipe)
    ends = tuple(StageValue(**one) for one in metrics.get("stages", ()))
    told = {name: metrics.get(name) for name in ("refit", "average")}
    return Run(model, recipe, rows, parts, path, metrics.get("best_stage") or 0, ends, **told)


def check_finished(path: str | Path) -> RunDirectory:
    """The directory of a finished run, whose results are as they were written.

    Args:
        path: The run directory.

    Raises:
        RunError: If it holds no finished run, or a file is damaged.
    """
    path = local_run(path, "path")
    directory = RunDirectory(path)
    if not directory.finished:
        if (path / SUMS).is_file():  # it ended, and a file of it is gone
            missing = [name for name in RESULTS if not (path / name).is_file()]
            raise RunError(
                f"`path` must be the directory of a run with all that it gave. Received: path={as_given(path)!r}, "
                f"without its {' and '.join(missing)}. Restore what is missing; if checkpoints/ is still there, the "
                "call that began it makes it again.",
                code="damaged",
            )
        raise RunError(
            f"`path` must be the directory of a finished run. Received: path={as_given(path)!r}. "
            "The call that began it resumes it from its last checkpoint.",
            code="run-unfinished",
        )
    directory.check_sums()
    return directory


def data_of(run: Run, root: str | Path | None = None) -> tuple[ImageData | None, str]:
    """The images of a run that was read from its directory, and why there are none, if so.

    Args:
        run: A run with a directory.
        root: The folder that the files in data.csv are relative to; None for where they were.

    Raises:
        RunError: If what the directory says of its data cannot be read.
    """
    folder, info = Path(str(run.run_dir)), model_info(run.model)
    if info is None:
        return None, "its model does not know its classes"
    parts, why = run_images(folder, info, root)
    if "train" not in parts:
        return None, why or "there are no training images"
    batches = read_json(folder / BATCHES)
    with (folder / DATA).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        records = tuple(Record(**row) for row in csv.DictReader(file))
    data = ImageData(
        parts["train"],
        parts.get("validation"),
        parts.get("test"),
        list(info.class_names),
        records,
        (),
        tuple(batches["image_size"]),
        batches["batch_size"],
        batches["seed"],
        batches["resize"],
        info.task,
    )
    return data, ""
