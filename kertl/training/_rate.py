"""The learning rate of a stage whose rate is "auto"."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from kertl.recipe import Stage
from kertl.training._compile import usual_stage
from kertl.training._learner import Learner
from kertl.training._material import Material
from kertl.training._stage import StageFit


class RateFinder(Protocol):
    """What finds a learning rate: the range test."""

    def __call__(self, fit: StageFit, material: Material, *, seed: int) -> float | None:
        """The rate for a compiled stage and its training data, or None if the loss does not fall."""


def trial_fit(
    learner: Learner, stage: Stage, *, on_features: bool, precision: str, part_size: int | None = None
) -> StageFit:
    """The stage compiled as it would be trained, but at a constant rate, for a test of many rates."""
    rate = usual_stage(learner.chain, stage.at).peak
    plain = dataclasses.replace(stage, learning_rate=rate, schedule="constant")
    options: dict[str, Any] = {"on_features": on_features, "precision": precision, "part_size": part_size}
    return StageFit(learner, plain, total_steps=1, **options)


def found_rate(
    learner: Learner,
    stage: Stage,
    find: RateFinder,
    material_of: Callable[[StageFit], Material],
    *,
    on_features: bool,
    precision: str,
    seed: int,
    start: Mapping[int, np.ndarray],
    part_size: int | None = None,
) -> tuple[float, str]:
    """The rate that a test of the stage suggests, or if no loss falls that of the named recipes; and why."""
    fit = trial_fit(learner, stage, on_features=on_features, precision=precision, part_size=part_size)
    with fit.training(start):
        found: Any = find(fit, material_of(fit), seed=seed)
    if found:
        return float(found), "the valley of the range test"
    return float(usual_stage(learner.chain, stage.at).peak), "the named recipes' own: in the range test no loss fell"
