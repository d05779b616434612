"""The images that a run was trained and tested on, found again from what its directory says."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kertl.data import ImageDataset
from kertl.data._decode import Stamp
from kertl.data._labels import SEPARATOR, Labelling
from kertl.data._readers import FileReader, KnownFile
from kertl.errors import RunError
from kertl.model import ModelInfo
from kertl.run_files import read_json, read_text

_logger = logging.getLogger(__name__)

_DATA, _BATCHES, _ENVIRONMENT = "data.csv", "data.json", "environment.json"
_LARGEST_TABLE = 2**30
_UNKNOWN = Stamp(-1, -1)  # no file has such a size, so each is compared by its checksum when it is read
_SEPARATORS = (SEPARATOR, ",", "|", " ", "\t")


def run_images(run_dir: Path, info: ModelInfo, root: str | Path | None = None) -> tuple[dict[str, ImageDataset], str]:
    """The images of a run by part, in data order, and why there are none, if so.

    An image that has changed since the run raises when it is read.

    Args:
        run_dir: The run directory.
        info: What its model knows: the classes, in the order of the labels.
        root: The folder that the files in data.csv are relative to; None for where they were.

    Raises:
        RunError: If what the directory says of its data cannot be read.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(run_dir / _DATA, _LARGEST_TABLE), newline="")))
        batches = read_json(run_dir / _BATCHES)
        root = root or read_json(run_dir / _ENVIRONMENT).get("images")
        missing = "" if rows else "no image"
        if root is None:
            return {}, "the run's images were in memory, not in files"
        paths = [str(Path(root) / row["file"]) for row in rows]
        gone = [path for path in paths if not Path(path).is_file()]
        if gone or missing:
            return {}, f"{len(gone)} of the run's {len(rows)} images are not there, such as {gone[0]!r}"
        parts = sorted({row["split"] for row in rows})
        return {part: _part(part, rows, paths, batches, info) for part in parts}, ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        raise RunError(
            f"{str(run_dir)!r} must hold what `kertl.fine_tune` writes of its data, {_DATA}, {_BATCHES} and "
            f"{_ENVIRONMENT}. Received: {error}. Restore them, or pass `data`.",
            code="damaged",
        ) from error


def _part(
    part: str, rows: Sequence[Mapping[str, str]], paths: Sequence[str], batches: Mapping[str, Any], info: ModelInfo
) -> ImageDataset:
    chosen = [place for place, row in enumerate(rows) if row["split"] == part]
    task, names = str(batches["task"]), info.class_names
    labels = [rows[place]["label"] for place in chosen]
    labelling = Labelling(task, names, _separator(task, labels, names))
    height, width = batches["image_size"]
    files = [KnownFile(paths[place], rows[place]["sha256"], _UNKNOWN) for place in chosen]
    return ImageDataset(
        FileReader(files, (height, width), str(batches["resize"]), int(batches["channels"])),
        labelling.array(labels),
        [paths[place] for place in chosen],
        class_names=names,
        task=task,
    )


def _separator(task: str, labels: Sequence[str], names: Sequence[str]) -> str:
    """What stands between several labels of an image, which the run does not say."""
    if task == "multi_label":
        known = {*names, ""}
        for one in _SEPARATORS:
            if all({part.strip() for part in label.split(one)} <= known for label in labels):
                return one
    return SEPARATOR
