"""A stage whose head is solved: from cached features to the weights of its Dense layer."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.features import FeatureBatches
from kertl.groups import Chain
from kertl.model import UNITS_LAYER
from kertl.probes import LINKS, STRENGTHS, Solution, solve
from kertl.recipe import Stage
from kertl.tasks import Task
from kertl.training._learner import Learner

_BEFORE = (keras.layers.Dropout, keras.layers.Identity)


def solvable_head(chain: Chain, at: str | int) -> keras.layers.Dense | None:
    """The Dense layer that is all that trains after a boundary; None if something else does, or more of it."""
    end = len(chain.backbone_groups)
    if not chain.has_head or chain.first_trained(at) != end:
        return None
    entering = chain.crossing(end)
    operations = [step.operation for step in chain.steps(end, end + 1)]
    while operations and isinstance(operations[0], _BEFORE):
        operations.pop(0)
    rest = operations[1:]
    alone = len(entering) == 1 and len(chain.graph.shapes[entering[0]]) == 1 and bool(operations)
    plain = all(one.name == UNITS_LAYER or isinstance(one, keras.layers.Identity) for one in rest)
    if not alone or not plain or type(operations[0]) is not keras.layers.Dense:
        return None
    dense = operations[0]
    return dense if dense.use_bias and dense.activation.__name__ in LINKS else None


def refuse_other_heads(chain: Chain, stage: Stage) -> None:
    """Raise if a stage is to be solved exactly and its head cannot be.

    Raises:
        ValueError: If the head is not a single Dense layer.
    """
    if stage.solver == "exact" and solvable_head(chain, stage.at) is None:
        trains = [
            layer.name for layer in chain.layers(chain.first_trained(stage.at), len(chain.groups)) if layer.weights
        ]
        advice = f"What trains at {stage.at!r} is {', '.join(trains) or 'nothing'}."
        raise complain(
            "solver",
            "'gradient' unless all that trains is one Dense layer with a bias, such as that of `kertl.Head()` without "
            "hidden units, at 'deep'",
            stage.solver,
            advice,
        )


def solve_head(
    learner: Learner,
    stage: Stage,
    train: Sequence[FeatureBatches],
    validation: FeatureBatches | None,
    *,
    strength: float | None = None,
) -> Solution:
    """The best head for features.

    Args:
        learner: What is trained.
        stage: The stage.
        train: What it is fitted to, together.
        validation: What chooses the strength of the penalty; None leaves out a fifth of the rows at a time.
        strength: The strength, if it is known.
    """
    found = [_rows(learner, stage, part) for part in train]
    rows, targets, weights, numbers = (
        columns[0] if len(train) == 1 else np.concatenate(columns) for columns in zip(*found, strict=True)
    )
    held_out = None
    if validation is not None:
        held_out = _rows(learner, dataclasses.replace(stage, label_smoothing=0.0), validation)[:2]
    return solve(
        rows,
        targets,
        link=learner.task.activation,
        weights=weights,
        held_out=held_out,
        folds=numbers % 5,
        strengths=STRENGTHS if strength is None else [strength],
    )


def give_head(learner: Learner, stage: Stage, solution: Solution) -> None:
    """Make a solution the weights of the head."""
    dense = solvable_head(learner.chain, stage.at)
    assert dense is not None
    dense.kernel.assign(solution.kernel)
    dense.bias.assign(solution.bias)


def _rows(learner: Learner, stage: Stage, part: FeatureBatches) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Features, targets, weights, and the number of the image of each row; all versions of an image are rows."""
    per_version = len(part.labels) // part.versions
    places = np.concatenate([part.rows + version * per_version for version in range(part.versions)])
    whole = np.array_equal(places, np.arange(len(part.labels)))
    values = part.values if whole else part.values[places]
    weights = np.ones(len(places)) if part.weights is None else np.asarray(part.weights)[places]
    targets = _targets(learner.task, np.asarray(part.labels)[places], learner, stage.label_smoothing)
    return values, targets, weights, np.tile(np.arange(len(part.rows)), part.versions)


def _targets(task: Task, labels: np.ndarray, learner: Learner, smoothing: float) -> np.ndarray:
    """What the output layer should give before the units of a regression, shape `(rows, outputs)`."""
    outputs = learner.chain.graph.shapes[learner.chain.graph.output][-1] or 1
    if task.activation == "softmax" and (labels.ndim == 1 or labels.shape[-1] == 1):
        labels = np.eye(outputs)[labels.reshape(-1).astype(np.int64)]
    labels = labels.reshape(len(labels), -1).astype(np.float64)
    if task.output_of == "target":
        units = [one for one in learner.chain.layers(0, len(learner.chain.groups)) if one.name == UNITS_LAYER]
        return (labels - np.asarray(units[0].offset)) / np.asarray(units[0].scale) if units else labels
    return labels * (1 - smoothing) + smoothing / max(outputs, 2)
