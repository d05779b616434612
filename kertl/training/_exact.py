"""A stage whose head is solved: from cached features to the weights of its Dense layer."""

import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl._terminal import counted, span
from kertl.features import FeatureBatches
from kertl.groups import Chain
from kertl.hardware import team
from kertl.model import UNITS_LAYER
from kertl.probes import FOLDS, STRENGTHS, Solution, solve
from kertl.recipe import Stage
from kertl.tasks import Task
from kertl.training._learner import Learner

_logger = logging.getLogger(__name__)
_BEFORE = (keras.layers.Dropout, keras.layers.Identity)


def solvable_head(chain: Chain, at: str | int, task: Task) -> keras.layers.Dense | None:
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
    return dense if dense.use_bias and dense.activation.__name__ == task.activation else None


def refuse_other_heads(chain: Chain, stage: Stage, task: Task) -> None:
    """Raise if a stage is to be solved exactly and its head cannot be.

    Raises:
        ValueError: If the head is not a single Dense layer.
    """
    if stage.solver == "exact" and solvable_head(chain, stage.at, task) is None:
        trains = [
            layer.name for layer in chain.layers(chain.first_trained(stage.at), len(chain.groups)) if layer.weights
        ]
        advice = f"What trains at {stage.at!r} is {', '.join(trains) or 'nothing'}."
        raise complain(
            "solver",
            f"'gradient' unless all that trains is one Dense layer with a bias that ends in {task.activation}, such as "
            "that of `kertl.Head()` without hidden units, at 'deep'",
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
    begun = time.monotonic()
    found = [_rows(learner, stage, part) for part in train]
    parts, targets, weights, images = zip(*found, strict=True)
    labels = np.concatenate(targets)
    held_out = None
    if validation is not None:
        judged, truth, *_ = _rows(learner, dataclasses.replace(stage, label_smoothing=0.0), validation)
        held_out = _joined([judged]), truth
    # Squared errors are left out row by row, in closed form, unless rows are versions of one image.
    by_row = learner.task.activation == "linear" and all(part.versions == 1 for part in train)
    rows, strengths = _joined(parts), STRENGTHS if strength is None else [strength]
    size = f"{counted(len(labels), 'row')} of {counted(rows.shape[1], 'feature')}"
    _logger.info("Solving the head on %s, at up to %s of its penalty.", size, counted(len(strengths), "strength"))
    solution = solve(
        rows,
        labels,
        link=learner.task.activation,
        weights=np.concatenate(weights),
        held_out=held_out,
        folds=None if by_row else _folds(np.concatenate(images), labels, learner.task),
        strengths=strengths,
    )
    _logger.info("The head was solved in %s.", span(time.monotonic() - begun))
    return solution


def give_head(learner: Learner, stage: Stage, solution: Solution) -> None:
    """Make a solution the weights of the head."""
    dense = solvable_head(learner.chain, stage.at, learner.task)
    assert dense is not None
    # Other processes may have rounded otherwise.
    kernel, bias = team().values_from_chief([np.asarray(solution.kernel), np.asarray(solution.bias)])
    dense.kernel.assign(kernel)
    dense.bias.assign(bias)


@dataclasses.dataclass(frozen=True)
class _Part:
    """Which rows of some features are fitted, or asked."""

    values: Any
    places: np.ndarray
    versions: int

    @property
    def array(self) -> np.ndarray:
        """The rows, where the features are in memory."""
        whole = np.array_equal(self.places, np.arange(len(self.values)))
        return np.asarray(self.values if whole else self.values[self.places])

    def take(self, places: np.ndarray) -> np.ndarray:
        """Some of the features, which may be in files: those of one version at a time."""
        version = places // (len(self.values) // self.versions)
        taken = [np.asarray(self.values[places[version == one]]) for one in range(self.versions) if one in version]
        return np.concatenate(taken)[np.argsort(np.argsort(version, kind="stable"), kind="stable")]


class _Stored:
    """Rows of features that are in files, read as they are asked for."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(len(part.places) for part in parts)])
        self.shape = (int(self._starts[-1]), int(parts[0].take(parts[0].places[:1]).shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Rows by a slice or by rising numbers."""
        numbers = np.arange(len(self))[index]
        owners = np.searchsorted(self._starts, numbers, side="right") - 1
        taken = [
            part.take(part.places[numbers[owners == owner] - self._starts[owner]])
            for owner, part in enumerate(self._parts)
            if owner in owners
        ]
        return np.concatenate(taken)


def _joined(parts: Sequence[_Part]) -> Any:
    """The rows of all parts: an array, unless some are in files."""
    if not all(isinstance(part.values, np.ndarray) for part in parts):
        return _Stored(parts)
    return parts[0].array if len(parts) == 1 else np.concatenate([part.array for part in parts])


def _rows(learner: Learner, stage: Stage, part: FeatureBatches) -> tuple[_Part, np.ndarray, np.ndarray, np.ndarray]:
    """Features, targets, weights, and the number of the image of each row; all versions of an image are rows."""
    per_version = len(part.labels) // part.versions
    places = np.concatenate([part.rows + version * per_version for version in range(part.versions)])
    weights = np.ones(len(places)) if part.weights is None else np.asarray(part.weights)[places]
    targets = _targets(learner.task, np.asarray(part.labels)[places], learner, stage.label_smoothing)
    return _Part(part.values, places, part.versions), targets, weights, np.tile(part.rows, part.versions)


def _folds(images: np.ndarray, targets: np.ndarray, task: Task) -> np.ndarray:
    """The fold of each row: all versions of an image in one, and classes spread evenly.

    A class with a single image is in none, since nothing is learnt about it where that is left out.
    """
    names, firsts, back = np.unique(images, return_index=True, return_inverse=True)
    drawn = np.random.default_rng(0).permutation(len(names))
    if not task.one_class:
        return np.asarray(drawn % FOLDS)[back]
    classes = targets[firsts].argmax(axis=1) if targets.shape[1] > 1 else (targets[firsts, 0] > 0.5).astype(np.int64)
    folds = np.empty(len(names), np.int64)
    folds[np.lexsort((drawn, classes))] = np.arange(len(names)) % FOLDS
    folds[np.bincount(classes)[classes] < 2] = -1
    return folds[back]


def _targets(task: Task, labels: np.ndarray, learner: Learner, smoothing: float) -> np.ndarray:
    """What the output layer should give before the units of a regression, shape `(rows, outputs)`."""
    outputs = learner.chain.graph.shapes[learner.chain.graph.output][-1] or 1
    if task.activation == "softmax" and (labels.ndim == 1 or labels.shape[-1] == 1):
        labels = np.eye(outputs)[labels.reshape(-1).astype(np.int64)]
    labels = labels.reshape(len(labels), -1).astype(np.float64)
    if task.output_of == "target":
        units = [one for one in learner.chain.layers(0, len(learner.chain.groups)) if one.name == UNITS_LAYER]
        return (labels - np.asarray(units[0].offset)) / np.asarray(units[0].scale) if units else labels
    return labels * (1 - smoothing) + smoothing / (outputs if task.activation == "softmax" else 2)
