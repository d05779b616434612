"""`recipe="auto"`: stages chosen from the size of the data, its classes, and what frozen features give by depth."""

import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kertl.data import ImageData
from kertl.errors import RunError
from kertl.groups import Chain, find_chain
from kertl.recipe import Recipe, Stage
from kertl.runner._budget import costs, within
from kertl.tasks import task_named
from kertl.training import solvable_head

if TYPE_CHECKING:
    from kertl.probes import Baselines

_logger = logging.getLogger(__name__)

_HEAD_STEPS = 800
"""Steps that train the head alone; on cached features they take seconds."""
# Steps of fine-tuning by the number of training images, as in BiT's rule.
_STEPS = ((20_000, 500), (500_000, 10_000), (math.inf, 20_000))
_MIXED_FROM = 20_000
"""Training images from which on MixUp is used, as in BiT's rule."""
_FEW_PER_CLASS = 10
"""Images of the smallest class below which only the head is trained."""
_EVERYTHING_FROM = 5_000
"""Training images from which on everything is trained in the end, if the late features are not the best."""
_MORE_THAN_SOLVED_FROM = 5_000
"""Training images from which on a backbone is fine-tuned after a head that was solved on several depths."""


@dataclasses.dataclass(frozen=True)
class AutoRecipe:
    """A recipe that was chosen, and why."""

    recipe: Recipe
    reasons: tuple[str, ...]
    by_depth: dict[str, float]
    """Validation accuracy of the best classical classifier by boundary; empty if there are no baselines."""
    preset: str | None
    """What was asked for, "good" where it was "auto"; None in runs of earlier versions, which do not say."""
    minutes: float | None
    """The time that the run was to keep to; None for no limit."""

    def to_values(self) -> dict[str, Any]:
        """All of it in numbers, text and lists."""
        return {**dataclasses.asdict(self), "recipe": json.loads(self.recipe.to_json()), "reasons": list(self.reasons)}

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "AutoRecipe":
        """From what `to_values` gave."""
        recipe, minutes = Recipe.from_json(json.dumps(values["recipe"])), values.get("minutes")
        limit = None if minutes is None else float(minutes)
        return cls(recipe, tuple(values["reasons"]), values["by_depth"], values.get("preset"), limit)

    def refuse_other(self, preset: str, minutes: float | None, run_dir: str) -> None:
        """Raise if something else is asked for than what the recipe of a run was chosen for.

        Raises:
            RunError: If so.
        """
        if self.preset not in (None, _plain(preset)) or (self.preset and self.minutes != minutes):
            raise RunError(
                f"`run_dir` must be a new directory, or one of the same recipe. Received: run_dir={run_dir!r}, "
                f"whose recipe was chosen for {_asked(self.preset, self.minutes)}, not for {_asked(preset, minutes)}. "
                "Choose another directory, or remove this one.",
                code="run-differs",
            )


def _plain(preset: str) -> str:
    return "good" if preset == "auto" else preset


def _asked(preset: str | None, minutes: float | None) -> str:
    named = '"auto"' if preset in ("auto", "good") else f'"{preset}"'  # two words for one preset
    return named + ("" if minutes is None else f" in {minutes:g} minutes")


def choose_recipe(
    model: keras.Model,
    data: ImageData,
    cache_dir: Path | None = None,
    preset: str = "auto",
    minutes: float | None = None,
) -> AutoRecipe:
    """Choose stages for a model and data; the reasons are logged.

    The head alone comes first, on cached features, so that later stages start from a good one; a head that is one Dense
    layer without dropout is solved exactly. Whether and from where on the backbone is then trained follows from the
    number of images, the smallest class, and the accuracies that `kertl.baselines` finds by depth, which are not asked
    for if the head sees several depths itself; how long, from the number of images.

    Args:
        model: The model to train.
        data: The images.
        cache_dir: Where the features of the baselines are cached.
        preset: "auto" or "good"; "quick", which trains the head alone; or "best", which
            fine-tunes in any case and averages the stages.
        minutes: The time that the run may take, by a short measurement; > 0. None sets no limit.

    Reference:
        Kolesnikov et al., "Big Transfer (BiT): General Visual Representation Learning", 2020, section 3.3, for steps
        and MixUp by the size of the data. https://arxiv.org/abs/1912.11370
        Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", 2022, for the
        head first. https://arxiv.org/abs/2202.10054
    """
    chain = find_chain(model)
    solved = solvable_head(chain, "deep", task_named(data.task)) is not None and not _has_dropout(chain)
    asks = preset in ("auto", "good")
    found, why_not = _found(model, data, cache_dir, chain) if asks else (None, "")
    smallest = _smallest_class(data)
    recipe, reasons = decide(
        images=data.train.num_examples,
        batch_size=data.batch_size,
        smallest_class=smallest,
        by_depth=found.by_depth() if found else {},
        standard_error=found.standard_error if found else 0.0,
        seed=data.train.seed,
        solved=solved,
        sees_depths=chain.sees_depths,
        head_alone=preset == "quick",
        several=preset == "best",
    )
    reasons = [why_not, *reasons] if why_not else reasons
    if minutes is not None:
        recipe, sums = within(recipe, minutes, [costs(chain, data, stage) for stage in recipe.stages])
        reasons = [*reasons, f"for {minutes:g} minutes:", *sums]
    for line in reasons:
        _logger.info("Recipe: %s", line)
    limit = None if minutes is None else float(minutes)
    return AutoRecipe(recipe, tuple(reasons), found.by_depth() if found else {}, _plain(preset), limit)


def decide(
    *,
    images: int,
    batch_size: int,
    smallest_class: int | None,
    by_depth: dict[str, float],
    standard_error: float,
    seed: int,
    solved: bool = False,
    sees_depths: bool = False,
    head_alone: bool = False,
    several: bool = False,
) -> tuple[Recipe, list[str]]:
    """The rule itself.

    Args:
        images: Training images.
        batch_size: Images per step.
        smallest_class: Training images of the smallest class; None in a regression.
        by_depth: Validation accuracy by the `at` of the stage that begins there, as `Baselines.by_depth` gives it.
        standard_error: Standard error of the best of these accuracies.
        seed: Seed of the recipe.
        solved: Whether the head can be solved exactly.
        sees_depths: Whether it sees several depths.
        head_alone: Whether nothing but the head is to be trained.
        several: Whether the backbone is fine-tuned in any case, and the stages are averaged.

    Returns:
        The recipe, and the reasons, one sentence each.
    """
    per_epoch = math.ceil(images / batch_size)
    head_epochs = _epochs(_HEAD_STEPS, per_epoch, most=40)
    if solved:
        stages = [Stage("deep", solver="exact")]
        again = "in the end, if it is the best, once more on training and validation images together"
        reasons = [f"the head alone first, solved exactly; {again}."]
    else:
        stages = [Stage("deep", epochs=head_epochs, learning_rate=3e-3, augment="none")]
        reasons = [f"the head alone first, {head_epochs} epochs, so that later stages start from a good one."]
    if head_alone:
        return Recipe(stages=stages, seed=seed, refit=solved), reasons
    end = by_depth.get("deep")
    if smallest_class is not None and smallest_class < _FEW_PER_CLASS:
        reasons.append(
            f"nothing else is trained: the smallest class has {smallest_class} images to train on, fewer than "
            f"{_FEW_PER_CLASS}."
        )
        return Recipe(stages=stages, seed=seed, refit=solved), reasons
    if end is not None and 1 - end <= standard_error:
        reasons.append(
            f"nothing else is trained: frozen features reach {end:.4f} on the validation set, which leaves less than "
            f"its standard error of {standard_error:.4f} to gain."
        )
        return Recipe(stages=stages, seed=seed, refit=solved), reasons
    if solved and sees_depths and not several and images < _MORE_THAN_SOLVED_FROM:
        reasons.append(
            f"nothing else is trained: of {images} images, fewer than {_MORE_THAN_SOLVED_FROM}, a head that is "
            f'solved on all depths has usually learnt what there is; "best" fine-tunes too, and averages.'
        )
        return Recipe(stages=stages, seed=seed, refit=solved), reasons
    at, why = _boundary(by_depth, standard_error)
    reasons.append(why)
    steps = next(steps for limit, steps in _STEPS if images < limit)
    epochs = _epochs(steps, per_epoch, most=30)
    mixup = 0.1 if images >= _MIXED_FROM else 0.0
    later: dict[str, Any] = {"epochs": epochs, "learning_rate": 3e-5, "augment": "light", "mixup": mixup}
    if solved:
        later["label_smoothing"] = 0.0  # as in the stage before, so that they are compared by one loss
    stages.append(Stage(at, views=4, **later))
    reasons.append(f"{epochs} epochs of it: about {steps} steps for {images} images, as in BiT's rule.")
    reasons.append(
        f"MixUp {'0.1' if mixup else 'off'}: BiT's rule uses it from {_MIXED_FROM} images on, and there are {images}."
    )
    if at != "mid" and images >= _EVERYTHING_FROM:
        stages.append(Stage("full", **later))
        reasons.append(f"finally everything: {images} images are enough, since at least {_EVERYTHING_FROM} are needed.")
    if several:
        reasons.append("in the end the stages' predictions are averaged, with shares chosen on the validation set.")
    return Recipe(stages=stages, seed=seed, refit=solved, average=several), reasons


def _boundary(by_depth: dict[str, float], standard_error: float) -> tuple[str, str]:
    """Where training the backbone begins, and why."""
    end = by_depth.get("deep")
    if end is None:
        return "mid", "then from the last halving of resolution on, from which fine-tuning usually gains most."
    best = max(by_depth, key=lambda name: by_depth[name])
    if best != "deep" and by_depth[best] - end > standard_error:
        return best, (
            f"then from {best} on: the features before it separate the classes better ({by_depth[best]:.4f}) "
            f"than those at the end ({end:.4f}) by more than the standard error ({standard_error:.4f}), so the "
            f"layers after it have to learn anew."
        )
    return "mid", (
        f"then from the last halving of resolution on: no depth is better than the end ({end:.4f}) by more than the "
        f"standard error ({standard_error:.4f}), so the features suit the task and the last layers adapt them."
    )


def _epochs(steps: int, per_epoch: int, *, most: int) -> int:
    return min(max(round(steps / per_epoch), 3), most)


def _found(model: keras.Model, data: ImageData, cache_dir: Path | None, chain: Chain) -> "tuple[Baselines | None, str]":
    """The baselines, or why there are none."""
    if chain.sees_depths:
        return None, "depths are not compared, because the head sees several of them."
    if data.task not in ("single_label", "binary"):
        return None, f"depths are not compared, because images do not have one class each (task {data.task!r})."
    if data.validation is None:
        return None, "depths are not compared, because there is no validation set to compare them on."
    # The test set has no influence on the choice.
    from kertl.probes import baselines

    return baselines(model, dataclasses.replace(data, test=None), cache_dir=cache_dir), ""


def _has_dropout(chain: Chain) -> bool:
    head = chain.layers(len(chain.backbone_groups), len(chain.groups))
    return any(isinstance(layer, keras.layers.Dropout) and layer.rate for layer in head)


def _smallest_class(data: ImageData) -> int | None:
    """How many training images the rarest class has; None where there are no classes."""
    if task_named(data.task).output_of == "target":
        return None
    labels = np.asarray(data.train.labels)
    if data.task == "multi_label":
        return int(labels.sum(axis=0).min())
    return int(np.bincount(labels.astype(np.int64).ravel(), minlength=2).min())
