"""Which images a model was trained on, so that how well it does on them is not taken for how well it does.

An image is known by the SHA-256 of its content, so it is found again under any name and in any split. A model in memory
remembers its images, and a run directory has them in data.csv; a model file on its own does not.
"""

import csv
import dataclasses
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from kertl.model._info import model_info, set_model_info
from kertl.run_files import read_json, read_text

if TYPE_CHECKING:
    import keras

    from kertl.data import ImageDataset

_logger = logging.getLogger(__name__)
_LARGEST_TABLE = 2**30


def note_trained_on(model: "keras.Model", *parts: "ImageDataset | None") -> None:
    """Note in a model that knows its task that it was trained on the images of these parts."""
    info = model_info(model)
    digests = {digest for part in parts if part is not None for digest in part.digests or ()}
    if info is not None and digests:
        set_model_info(model, dataclasses.replace(info, trained_on=info.trained_on | digests))


def count_trained_on(model: "keras.Model", part: "ImageDataset | None") -> int:
    """How many images of a part a model is known to have been trained on."""
    info = model_info(model)
    if info is None or part is None:
        return 0
    return sum(digest in info.trained_on for digest in part.digests or ())


def trained_in(run: Path) -> frozenset[str]:
    """The images that the model of a run directory was trained on: after a refit, those of the validation set too."""
    table, metrics = run / "data.csv", run / "metrics.json"
    if not table.is_file():
        return frozenset()
    try:
        refit = metrics.is_file() and read_json(metrics, _LARGEST_TABLE).get("refit") is not None
        parts = ("train", "validation") if refit else ("train",)
        rows = csv.DictReader(io.StringIO(read_text(table, _LARGEST_TABLE), newline=""))
        return frozenset(row["sha256"] for row in rows if row["split"] in parts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        _logger.warning("%s does not say which images its model was trained on: %s.", table, error)
        return frozenset()
