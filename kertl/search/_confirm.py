"""Training the best trials again, from other seeds: the winner of many trials is often just the luckiest."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner

from kertl.run_files import write_json
from kertl.search._hypermodel import TransferHyperModel
from kertl.search._result import AGAIN, read

_logger = logging.getLogger(__name__)

TIMES = 3
"""How often each is trained again."""


def confirm(
    hypermodel: TransferHyperModel, oracle: keras_tuner.Oracle, folder: Path, best: int, epochs: int, tell: Any
) -> None:
    """Train the best trials again and record how they did; those already trained again are skipped.

    Args:
        hypermodel: What trains the trials; other seeds draw the head, dropout and the folds.
        oracle: The oracle of the search, with its trials.
        folder: The folder of the search.
        best: How many trials, by the value that they had in the search.
        epochs: Epochs of a trial that has no number of its own.
        tell: Called with the name of each trial that was trained again.
    """
    sign = 1 if oracle.objective.direction == "min" else -1
    by_value = sorted(read(folder).completed, key=lambda trial: (sign * (trial.value or 0.0), int(trial.name)))
    seed = hypermodel.seed
    for trial in by_value[:best]:
        hp, values = oracle.trials[trial.name].hyperparameters, list(trial.again)
        try:
            for number in range(len(values), TIMES):
                hypermodel.seed = seed + 1 + number
                length = hp.values.get("tuner/epochs", epochs)
                values.append(_value(hypermodel, hp, length, oracle.objective, trial.name))
                write_json(folder / f"trial_{trial.name}" / AGAIN, values)
        finally:
            hypermodel.seed = seed
        if len(values) > len(trial.again):
            tell(trial.name)


def _value(
    hypermodel: TransferHyperModel, hp: Any, epochs: int, objective: keras_tuner.Objective, name: str
) -> float | None:
    """The objective at its best epoch, or its mean over folds; None if the training failed."""
    better: Callable[[Any], Any] = min if objective.direction == "min" else max
    try:
        result = hypermodel.fit(hp, hypermodel.build(hp), epochs=epochs, verbose=0)
    except Exception as error:  # it diverges with another seed, or less memory is free
        _logger.warning("Trial %s could not be trained again (%s: %s).", name, type(error).__name__, error)
        return None
    return float(result[objective.name] if isinstance(result, dict) else better(result.history[objective.name]))
