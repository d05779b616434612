"""What a run was begun with, as text: its recipe, images, batches and model, by which it is known again."""

import csv
import difflib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import keras

from kertl._places import as_given
from kertl.data import ImageData
from kertl.errors import RunError
from kertl.groups import find_chain
from kertl.model import architecture
from kertl.recipe import Recipe
from kertl.run_files import sha256_of_arrays

RECIPE, DATA, BATCHES, ARCHITECTURE = "recipe.json", "data.csv", "data.json", "model.json"
_CALLED = {RECIPE: "recipe", DATA: "data", BATCHES: "batches", ARCHITECTURE: "model"}
_LONGEST_SHOWN = 2**20


def description(recipe: Recipe, data: ImageData, model: keras.Model) -> dict[str, str]:
    """The text of each file that describes a run."""
    return {
        RECIPE: recipe.to_json(),
        DATA: data.csv_text(),
        BATCHES: batches_text(data),
        ARCHITECTURE: _described(model),
    }


def refuse_another_run(folder: Path, now: Mapping[str, str], begun: bool, advice: str) -> None:
    """Raise if a directory belongs to another run.

    Args:
        folder: The directory.
        now: The text of each file, see `description`.
        begun: Whether there is something to resume or to read, so that no file may be missing.
        advice: What to do about a missing file.

    Raises:
        RunError: If so; the difference is shown.
    """
    for name, text in now.items():
        if (folder / name).exists():
            _refuse_other(folder / name, text, _files_that_differ if name == DATA else _lines_that_differ)
        elif begun:
            raise RunError(
                f"`run_dir` must be a new directory, or one that says what was run. Received: "
                f"run_dir={as_given(folder)!r}, without its {name}. {advice}",
                code="run-directory",
            )


def batches_text(data: ImageData) -> str:
    """What decides, besides the images themselves, what a batch holds, as JSON."""
    names = ("task", "image_size", "channels", "resize", "batch_size", "seed")
    return json.dumps({name: getattr(data, name) for name in names}, indent=2) + "\n"


def _described(model: keras.Model) -> str:
    """The layers of a model, and a digest of the pretrained weights; those of a new head may be random."""
    variables = (variable for group in find_chain(model).backbone_groups for variable in group.variables)
    digest = sha256_of_arrays(map(keras.ops.convert_to_numpy, variables))
    return f'{{"backbone_weights": "{digest}", "layers":\n{architecture(model)}}}\n'


def _refuse_other(file: Path, now: str, differences: Callable[[str, str], list[str]]) -> None:
    size, own = file.stat().st_size, len(now.encode("utf-8", "surrogateescape"))
    if size > 10 * own + _LONGEST_SHOWN:
        before, differences = "", lambda before, now: [f"it has {size:,} bytes, not {own:,}"]
    else:
        before = file.read_bytes().decode("utf-8", "surrogateescape")
    if before == now:
        return
    lines = [line if len(line) < 200 else f"{line[:199]}…" for line in differences(before, now)]
    more = f"\n  … and {len(lines) - 20} more lines" if len(lines) > 20 else ""
    shown = "\n  ".join(lines[:20])
    raise RunError(
        f"`run_dir` must be a new directory, or one of the same {_CALLED[file.name]}. Received: "
        f"run_dir={as_given(file.parent)!r}, whose {file.name} differs:\n  {shown}{more}\n"
        "Choose another directory, or remove this one.",
        code="run-differs",
    )


def _lines_that_differ(before: str, now: str) -> list[str]:
    return list(difflib.unified_diff(before.splitlines(), now.splitlines(), "there", "now", lineterm="", n=0))


def _files_that_differ(before: str, now: str) -> list[str]:
    """Each image that is new, gone or changed, and how."""
    try:
        old, new = ({row["file"]: row for row in csv.DictReader(io.StringIO(text))} for text in (before, now))
    except (KeyError, csv.Error):  # damaged
        return _lines_that_differ(before, now)
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
