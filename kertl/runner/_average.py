"""A run whose stages are averaged: their weights, how much each counts, and the one model that comes of it."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kertl.data import ImageData, check_augmentation
from kertl.evaluation import predict
from kertl.groups import Chain
from kertl.model import averaged
from kertl.recipe import Recipe
from kertl.runner._agreement import agreed
from kertl.runner._best_stage import plain_loss
from kertl.runner._journal import Journal
from kertl.runner._stage import StageRunner
from kertl.tasks import task_named

_logger = logging.getLogger(__name__)

_ROUNDS = 20
"""How many predictions are drawn, so that shares are multiples of a twentieth."""
_FLIP = ("flip", "horizontal")


class StageWeights:
    """The model's weights at the end of each stage, saved in the checkpoints like a callback.

    Args:
        model: The whole model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._variables = list(model.weights)  # without the factors that a stage may add for a while
        self._ends: dict[int, list[np.ndarray]] = {}

    def keep(self, number: int) -> None:
        """Keep the present weights as those of stage `number`, counted from 0."""
        self._ends[number] = self._now()

    def give(self, number: int) -> None:
        """Give the model the weights of a stage."""
        for variable, value in zip(self._variables, self._ends[number], strict=True):
            variable.assign(value)

    def of(self, number: int) -> list[np.ndarray]:
        """The weights of a stage, in the order of `model.weights`."""
        return self._ends[number]

    @property
    def stages(self) -> list[int]:
        """The stages that have ended."""
        return sorted(self._ends)

    def get_state(self) -> dict[str, Any]:
        """The weights, where they differ from the model's present ones."""
        now = self._now()
        return {
            str(number): {str(at): value for at, value in enumerate(kept) if value.tobytes() != now[at].tobytes()}
            for number, kept in self._ends.items()
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` gave; the model must have the weights that it had at that time."""
        now = self._now()
        self._ends = {
            int(number): [differing.get(str(at), value) for at, value in enumerate(now)]
            for number, differing in state.items()
        }

    def _now(self) -> list[np.ndarray]:
        return [np.array(keras.ops.convert_to_numpy(variable)) for variable in self._variables]


@dataclasses.dataclass(frozen=True)
class Average:
    """What became of the stages of a run."""

    model: keras.Model
    """One model for their mean."""
    told: dict[str, Any]
    """`stages`, counted from 0, their `shares`, and whether each image is also predicted `mirrored`."""
    best: int
    """The best stage by itself."""
    validation: np.ndarray | None
    """The mean on the validation set, before heads were solved once more."""
    refit: dict[str, Any] | None
    """What to say of heads that were solved once more."""


def average(ends: StageWeights, runner: StageRunner, model: keras.Model, data: ImageData, recipe: Recipe) -> Average:
    """Choose how much each stage counts, solve heads once more if the recipe wants it, and make one model.

    Shares and mirroring are written to choices.json before they take effect, and a run that resumes keeps to them.
    Afterwards `model` has the weights of the best stage.

    Args:
        ends: The weights of the stages.
        runner: What trained them.
        model: The whole model.
        data: The images.
        recipe: The recipe.
    """
    journal, chain = runner.journal, runner.chain
    said: dict[int, np.ndarray] = {}
    if data.validation is not None:
        for number in ends.stages:
            ends.give(number)
            said[number] = runner.predictions(number)(data.validation)
    told = _chosen(journal, lambda: _shares(ends, said, model, data))
    best, stages, shares = told["best"], told["stages"], told["shares"]
    kept, mirrored = {key: told[key] for key in ("stages", "shares", "mirrored")}, told["mirrored"]
    first = first_different(chain, recipe)

    def made() -> keras.Model:
        return averaged(model, [ends.of(number) for number in stages], shares, first=first, mirrored=mirrored)

    before = None
    if data.validation is not None:
        before = predict(made(), data.validation) if mirrored else _mean([said[one] for one in stages], shares)
    solved = [number for number in stages if recipe.stages[number].solver == "exact"]
    refit = None
    if recipe.refit and data.validation is not None:
        for number in solved:
            ends.give(number)
            refit = runner.refit(number)
            ends.keep(number)
    ends.give(best)
    _logger.info("%s", sentence(kept))
    return Average(made(), kept, best, before, refit)


def first_different(chain: Chain, recipe: Recipe) -> int:
    """The first layer group that any stage of a recipe trains."""
    return min(chain.first_trained(stage.at) for stage in recipe.stages)


def sentence(told: Any) -> str:
    """What the model of an averaged run is, in a sentence."""
    parts = [f"{share:.0%} of stage {stage + 1}" for stage, share in zip(told["stages"], told["shares"], strict=True)]
    mirrored = ", each of the image and its mirror image" if told["mirrored"] else ""
    return f"The model averages predictions: {', '.join(parts)}{mirrored}."


def greedy_shares(predictions: Sequence[np.ndarray], loss: Callable[[np.ndarray], float]) -> list[float]:
    """The share of each prediction in a mean with a low loss.

    One after the other, twenty are drawn with replacement, each time the one that brings the mean to the lowest loss.

    Args:
        predictions: Arrays of one shape.
        loss: The loss of such an array.

    Reference:
        Caruana et al., "Ensemble Selection from Libraries of Models", 2004.
        https://doi.org/10.1145/1015330.1015432
    """
    counts, total = [0] * len(predictions), np.zeros_like(predictions[0], np.float64)
    for drawn in range(1, _ROUNDS + 1):
        losses = [loss((total + one) / drawn) for one in predictions]
        chosen = losses.index(min(losses))
        counts[chosen] += 1
        total += predictions[chosen]
    return [count / _ROUNDS for count in counts]


def _chosen(journal: Journal, choose: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    if "average" not in journal.choices:
        journal.choose("average", agreed(journal.team, choose))
    return dict(journal.choices["average"])


def _shares(ends: StageWeights, said: dict[int, np.ndarray], model: keras.Model, data: ImageData) -> dict[str, Any]:
    """The stages that count, how much, which is the best alone, and whether images are mirrored."""
    part = data.validation
    if part is None:
        stages = ends.stages
        return {"stages": stages, "shares": [1 / len(stages)] * len(stages), "mirrored": False, "best": stages[-1]}

    def loss(predictions: np.ndarray) -> float:
        return plain_loss(data, part, predictions.astype(np.float32))

    losses = {number: loss(one) for number, one in said.items()}
    best = min(losses, key=lambda number: losses[number])
    found = dict(zip(said, greedy_shares(list(said.values()), loss), strict=True))
    stages = [number for number, share in found.items() if share]
    shares = [found[number] for number in stages]
    mirrored = False
    if task_named(data.task).one_class:
        ends.give(best)
        if not check_augmentation(model, part, [_FLIP], verbose=False).flagged:
            twice = averaged(model, [ends.of(number) for number in stages], shares, mirrored=True)
            mirrored = loss(predict(twice, part)) < loss(_mean([said[one] for one in stages], shares))
    return {"stages": stages, "shares": shares, "mirrored": mirrored, "best": best}


def _mean(predictions: Sequence[np.ndarray], shares: Sequence[float]) -> np.ndarray:
    total = sum(share * np.asarray(one, np.float64) for share, one in zip(shares, predictions, strict=True))
    return np.asarray(total, np.float32)
