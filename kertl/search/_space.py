"""The default search space: a plain function, to be replaced or built upon."""

from collections.abc import Sequence
from typing import Any

from kertl.heads import Head
from kertl.recipe import Recipe, Stage
from kertl.search._candidate import Candidate


def default_space(hp: Any, backbones: Sequence[str]) -> Candidate:
    """Backbone, boundary, head, optimizer, rates, schedule, decay, smoothing, MixUp, versions and batch size.

    A space of your own is a function of the same two arguments; it may call this one and change what it gives by
    `dataclasses.replace`. What only matters under a condition is drawn inside `hp.conditional_scope`, where KerasTuner
    gives None while the condition does not hold.

    Losses of different `label_smoothing` cannot be compared, so the objective of classifiers is their accuracy.

    Args:
        hp: KerasTuner's `HyperParameters` of the trial.
        backbones: Names of the backbones; at least one.

    Example:
        >>> import keras_tuner, kertl
        >>> kertl.search.default_space(keras_tuner.HyperParameters(), ["ResNet50"]).recipe.stages[0].at
        'deep'
    """
    backbone = hp.Choice("backbone", list(backbones))
    boundary = hp.Choice("boundary", ["deep", "mid"])
    head = _head(hp)
    views = hp.Choice("views", [0, 4])
    shared = {
        "augment": "light" if views else "none",
        "views": views,
        "optimizer": hp.Choice("optimizer", ["adamw", "sgd_nesterov"]),
        "schedule": hp.Choice("schedule", ["one_cycle", "cosine", "constant"]),
        "weight_decay": hp.Float("weight_decay", 1e-6, 1e-2, sampling="log", default=1e-4),
        "label_smoothing": hp.Float("label_smoothing", 0.0, 0.2, step=0.05, default=0.1),
        "mixup": hp.Choice("mixup", [0.0, 0.1, 0.4]),
        "batch_size": hp.Choice("batch_size", [16, 32, 64, 128], default=32),
    }
    rate = hp.Float("learning_rate", 1e-4, 3e-2, sampling="log", default=3e-3)
    stages = [Stage("deep", learning_rate=rate, **shared)]
    with hp.conditional_scope("boundary", ["mid"]):
        rate = hp.Float("fine_tuning_rate", 1e-5, 1e-3, sampling="log", default=1e-4)
        if boundary == "mid":
            stages.append(Stage("mid", learning_rate=rate, **shared))
    return Candidate(backbone, Recipe(stages=stages), head)


def _head(hp: Any) -> Head:
    depth = hp.Int("hidden_layers", 0, 2)
    units: tuple[int, ...] = ()
    batch_norm = True
    with hp.conditional_scope("hidden_layers", [1, 2]):
        width, normalised = hp.Choice("hidden_units", [64, 128, 256, 512]), hp.Boolean("batch_norm", default=True)
        if depth:
            units, batch_norm = (width,) * depth, normalised
    return Head(
        hidden_units=units,
        batch_norm=batch_norm,
        dropout=hp.Float("dropout", 0.0, 0.6, step=0.1, default=0.3),
        pooling=hp.Choice("pooling", ["avg", "max", "both"]),
    )
