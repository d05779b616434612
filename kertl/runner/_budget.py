"""A recipe that keeps to a given time: what its stages take by a short measurement, and what there is time for."""

import dataclasses
import math
import time

import keras
import numpy as np

from kertl._terminal import span
from kertl.data import ImageData
from kertl.features import TRAINING, Plan, plan
from kertl.groups import Chain
from kertl.model import cut
from kertl.recipe import Recipe, Stage

_SETTING_UP = 15.0
"""Seconds for tracing, compilation and evaluation, for each stage."""
_RESERVE = 0.1
"""Share of the time that is not planned, for what the measurement does not see."""
_FEWEST_EPOCHS = 3


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a stage takes."""

    once: float
    """Seconds before its first epoch: extraction, or solving the head."""
    epoch: float
    """Seconds of an epoch; 0 where the head is solved."""


def costs(chain: Chain, data: ImageData, stage: Stage) -> Costs:
    """What a stage takes on this machine, from forward passes of a few images."""
    first = chain.first_trained(stage.at)
    parts = [part for part in (data.train, data.validation, data.test) if part is not None]
    images, every = data.train.num_examples, sum(part.num_examples for part in parts)
    if first == 0:
        return _whole(chain, data, every)
    prefix, suffix = cut(chain, first)
    found: Plan = plan(prefix, suffix, images, data.train.reader.shape, epochs=1)
    front = 1 / (found.images_per_second or math.inf)
    after = max(found.seconds_cached - images * front, 0.0) / TRAINING / images
    passes = (every + max(stage.views - 1, 0) * images) * front
    if stage.solver == "exact":
        return Costs(_SETTING_UP + passes + _solving(images, found.bytes_per_image // 4), 0.0)
    if stage.augment != "none" and not stage.views:
        return Costs(_SETTING_UP, every * (front + TRAINING * after))
    return Costs(_SETTING_UP + passes, images * TRAINING * after)


def _whole(chain: Chain, data: ImageData, images: int) -> Costs:
    model = chain.at_shape(chain.graph.shapes[chain.graph.input], "whole")
    identity = keras.Sequential([keras.Input(data.train.reader.shape), keras.layers.Identity()])
    found = plan(identity, model, 1, data.train.reader.shape, epochs=1)
    return Costs(_SETTING_UP, images * found.seconds_cached)


def _solving(rows: int, features: int) -> float:
    """Seconds to solve a head twice, by what multiplying matrices takes here."""
    square = np.ones((768, 768), np.float32)
    square @ square
    start = time.perf_counter()
    square @ square
    per_product = (time.perf_counter() - start) / 768**3
    small, large = sorted((rows, features))
    return 2 * per_product * (small**2 * large + 20 * small**3)


def within(recipe: Recipe, minutes: float, by_stage: list[Costs]) -> tuple[Recipe, list[str]]:
    """The stages, and as many of their epochs, as there is time for.

    Args:
        recipe: What would be trained without a limit; the first stage stays in any case.
        minutes: The time; > 0.
        by_stage: What each stage takes.

    Returns:
        The recipe, and its sums, one sentence for each stage.
    """
    left = 60 * minutes * (1 - _RESERVE)
    stages, said = [], []
    for place, (stage, cost) in enumerate(zip(recipe.stages, by_stage, strict=True)):
        affordable = math.floor((left - cost.once) / cost.epoch) if cost.epoch else stage.epochs
        epochs = min(stage.epochs, affordable if left >= cost.once else 0)
        if place == 0:
            epochs = max(epochs, 1)
        elif epochs < min(_FEWEST_EPOCHS, stage.epochs):
            least = cost.once + min(_FEWEST_EPOCHS, stage.epochs) * cost.epoch
            said.append(
                f"no stage at {stage.at!r}: it takes {span(least)} or more, and {span(max(left, 0.0))} are left."
            )
            break
        took = cost.once + epochs * cost.epoch
        said.append(f"about {span(took)} for the stage at {stage.at!r}, of {span(max(left, 0.0))} that are left.")
        left -= took
        stages.append(dataclasses.replace(stage, epochs=epochs))
    return dataclasses.replace(recipe, stages=stages), said
