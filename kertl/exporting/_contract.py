"""What a program must know to use an export: what goes in, what comes out, what it means."""

from typing import Any

import keras

import kertl
from kertl._checks import complain
from kertl.evaluation import output_names
from kertl.model import DEFAULT_THRESHOLD, model_info, picture_shape, task_of
from kertl.tasks import task_named

NOTE = "kertl.json"
"""The file, in an export or in its folder, that has the contract as JSON."""
LABELS = "labels.txt"
"""The file in a LiteRT export with a class per line, as its tools expect it."""


def contract_of(model: keras.Model) -> dict[str, Any]:
    """What goes into an export of a model and what comes out, in values that JSON takes.

    `input`: its `name`, `dtype`, `shape` (None for any number of images), `range` of the pixels, `channels`, and
    `resize`, how images are made that large ("stretch", "pad", "crop", or None if that is not known).
    `output`: its `name`, and `labels`, a name for each of its numbers; with one number for two classes `labels` has
    both, and the number is the probability of the second. `thresholds`: the probability from which on each number
    counts as a yes, for the tasks that have it. Also `task`, `model`, `backbone`, and the versions of `kertl` and
    `keras`.

    Raises:
        ValueError: If the model takes pictures of any size, or no pictures, or its task cannot be told.
    """
    size, channels = picture_shape(model)
    if size is None or channels is None:
        advice = "If it takes pictures of any size, pass `kertl.model.at_size(model, (224, 224))`, say."
        raise complain("model", "one that takes pictures of one size", tuple(model.input_shape), advice)
    info, task = model_info(model), task_named(task_of(model))
    outputs = int(model.output_shape[-1])
    thresholds = list(info.thresholds) if info is not None and info.thresholds else [DEFAULT_THRESHOLD] * outputs
    return {
        "kertl": kertl.__version__,
        "keras": keras.__version__,
        "model": model.name,
        "backbone": None if info is None else info.backbone,
        "task": task.name,
        "input": {
            "name": "images",
            "dtype": "float32",
            "shape": [None, *size, channels],
            "range": [0, 255],
            "channels": {1: "gray", 3: "RGB", 4: "RGBA"}.get(channels, str(channels)),
            "resize": None if info is None else info.resize,
        },
        "output": {
            "name": "values" if task.output_of == "target" else "probabilities",
            "labels": output_names(model),
        },
        "thresholds": thresholds if task.has_thresholds else None,
    }
