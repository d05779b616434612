"""Every recipe on one and on two virtual devices: `KERAS_BACKEND=... python -m tests.hardware.recipes [NAME ...]`.

Prints a JSON object: for each recipe how far apart losses, weights and predictions are at most, or what refused it on
two devices.
"""

import dataclasses
import json
import logging
import sys

import numpy as np

import kertl
from kertl import hardware
from kertl.runner._auto import choose_recipe
from tests.hardware.several import still
from tests.runs import classifier, quick, squares, values

# The recipes by name, without what they draw at random, which is not the same on two devices, and shorter.
NAMED = ("deep", "mid", "full", "gradual", "unfreezing", "quick", "good", "best", "best, solved")
SHORT = {"epochs": 2, "augment": "none", "views": 0, "mixup": 0.0}
# Fields of a stage that do something of their own with a batch, the weights or the features.
STAGES = {
    "cache": lambda: quick("mid", cache=True),
    "views": lambda: quick("mid", cache=True, views=2, augment="strong", epochs=2),
    "augment": lambda: quick("mid", augment="strong"),
    "mixup": lambda: quick("mid", mixup=0.2),
    "cutmix": lambda: quick("mid", cutmix=1.0),
    "class_weights": lambda: quick("mid", class_weights=True),
    "oversample": lambda: quick("mid", oversample=True),
    "layer_decay": lambda: quick("full", layer_decay=0.5),
    "batch_norm": lambda: quick("full", batch_norm="train", optimizer="sgd"),
    "ema": lambda: quick("mid", ema=0.9),
    "l2_sp": lambda: quick("mid", l2_sp=0.1),
    "gradient_checkpointing": lambda: quick("full", gradient_checkpointing=True),
    "quantize": lambda: quick("full", quantize="int8", epochs=2),
    "image_size": lambda: quick("mid", image_size=(64, 64)),
    "batch_size": lambda: quick("mid", batch_size=4),
}


def recipe_by_name(name, model, data):
    if name in STAGES:
        return kertl.Recipe(stages=[STAGES[name]()])
    if name == "unfreezing":
        found = kertl.gradual_unfreezing(model)
    elif name in kertl.recipe.NAMED:
        found = kertl.recipe.named_recipe(name)
    else:
        found = choose_recipe(model, data, preset=name.split(",")[0]).recipe
    stages = [one if one.solver == "exact" else dataclasses.replace(one, **SHORT) for one in found.stages]
    return dataclasses.replace(found, stages=stages)


def trained(name, devices):
    """Losses, weights and predictions; or the text of what refused it."""
    with hardware.setup("cpu", devices=devices) as scope:
        assert len(scope.choice.devices) == devices
        head = {"batch_norm": False} if name.endswith("solved") else {"hidden_units": (8,)}
        model = classifier(1, still, dropout=0.0, **head)
        data = squares()
        try:
            run = kertl.fine_tune(model, data, recipe=recipe_by_name(name, model, data), verbose=0)
        except ValueError as error:
            return str(error)
        losses = [float(value) for kind in ("loss", "val_loss") for value in run.history.get(kind, ())]
        return [np.array(losses), *values(run.model.weights), *run.predictions.values()]


def apart(one, two):
    if isinstance(two, str):
        return two
    return max(float(np.abs(a - b).max(initial=0.0)) for a, b in zip(one, two, strict=True))


def main(names):
    logging.disable(logging.WARNING)
    two = {name: trained(name, 2) for name in names}  # first, since devices are made once
    print(json.dumps({name: apart(trained(name, 1), two[name]) for name in names}))


if __name__ == "__main__":
    main(sys.argv[1:] or [*NAMED, *STAGES])
