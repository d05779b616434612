"""A recipe trained again and again from its beginning, on a copy, so that the model itself does not change.

A fold of a cross-validation and a trial of a search train exactly as `kertl.fine_tune` does on the same images, to the
last digit.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import keras
import numpy as np

from kertl.data import ImageDataset
from kertl.recipe import Recipe, Stage
from kertl.training._choice import choose
from kertl.training._given import Given
from kertl.training._learner import Learner, put_back, values_of
from kertl.training._material import Material, OnFeatures
from kertl.training._pool import FeaturePool, Values
from kertl.training._rate import RateFinder, found_rate, trial_fit
from kertl.training._stage import Attempt, StageFit, Trained


class Trainee:
    """A copy of what a recipe trains, with everything needed to train it from its beginning.

    Args:
        learner: The pretrained model; its layers before the first boundary are shared, the others copied.
        recipe: The stages.
        pool: Features of the pretrained weights.
        head_seed: Seed that the head is drawn from; None keeps the present head.
        find_rate: What finds the rate of stages whose rate is "auto".
    """

    def __init__(
        self,
        learner: Learner,
        recipe: Recipe,
        pool: Values,
        *,
        head_seed: int | None,
        find_rate: RateFinder,
    ) -> None:
        self.recipe, self._pool, self._find_rate = recipe, pool, find_rate
        firsts = [learner.first_trained(stage) for stage in recipe.stages]
        self._pristine = [first <= min(firsts[:place], default=first) for place, first in enumerate(firsts)]
        self._source = learner
        self.learner = learner.copy(min(firsts), head_seed=head_seed)
        copied = self.learner.chain.layers(min(firsts), len(self.learner.chain.groups))
        variables = list({id(v): v for layer in copied for v in layer.variables}.values())
        self._start = list(zip(variables, values_of(variables), strict=True))
        self._fits: dict[tuple[Any, ...], StageFit] = {}
        self._waiting: dict[int, StageFit] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self.last: Lesson

    @property
    def start(self) -> Mapping[int, np.ndarray]:
        """The value that each variable begins with, by the variable's `id`."""
        return {id(variable): value for variable, value in self._start}

    def begin(self, head_seed: int | None = None) -> None:
        """Restore the initial weights; with a seed, the head is drawn anew."""
        put_back(self._start)
        if head_seed is not None:
            end = len(self.learner.chain.backbone_groups)
            drawn = self._source.copy(end, head_seed=head_seed).chain.layers(end, end + 1)
            for layer, other in zip(self.learner.chain.layers(end, end + 1), drawn, strict=True):
                layer.set_weights(other.get_weights())

    def compiled(self, number: int, given: Given) -> StageFit:
        """Stage `number`, compiled before the length of its training is known."""
        stage = self.recipe.stages[number]
        given, learner = given.in_stage(stage), self.learner.at_size(stage.image_size)
        on_features = self._choice(number, given)["features"] != "live"
        make = trial_fit if stage.learning_rate == "auto" else partial(StageFit, total_steps=1)
        fit = make(learner, stage, on_features=on_features, precision=self.recipe.precision)
        self._waiting[number] = fit
        return fit

    def prepare(self, given: Given) -> None:
        """Extract the features that trainings on these images will need."""
        for number, stage in enumerate(self.recipe.stages):
            staged = given.in_stage(stage)
            choice = self._choice(number, staged)
            if choice["features"] != "live" and self._pristine[number]:
                for part, views in ((staged.pool or staged.data.train, stage.views), (staged.judges, 0)):
                    if part is not None:
                        self._pool.values(stage, part, views=views, in_memory=choice["features"] == "memory")

    def run(self, given: Given, *, seed: int) -> list[dict[str, Any]]:
        """Train all stages; one mapping per epoch: stage, boundary, epoch (counted from 1), losses, metrics.

        Raises:
            DivergedError: If a loss became NaN or infinite.
        """
        rows: list[dict[str, Any]] = []
        before = None
        for number, stage in enumerate(self.recipe.stages):
            lesson = self.train(number, given, seed=seed, first_epoch=len(rows), before=before)
            history, before = lesson.history, lesson.fit.trained
            for place, epoch in enumerate(history.epoch):
                metrics = {name: float(values[place]) for name, values in history.history.items()}
                rows.append({"stage": number, "at": stage.at, "epoch": epoch + 1, **metrics})
            self.last = lesson
        return rows

    def predict(self, part: ImageDataset) -> np.ndarray:
        """Predictions for the held-out images, after `run`; at the model's own size, shape `(images, outputs)`."""
        lesson = self.last
        plain = lesson.fit.learner is self.learner and self.recipe.precision == "float32"
        if plain and isinstance(lesson.material, OnFeatures):
            return np.asarray(lesson.fit.model.predict(lesson.material.validation, verbose=0))
        return np.asarray(self.learner.model.predict(part.in_order(), verbose=0))

    def train(
        self,
        number: int,
        given: Given,
        *,
        seed: int,
        first_epoch: int = 0,
        epochs: int | None = None,
        before: Trained | None = None,
        go_on: bool = False,
        **options: Any,
    ) -> "Lesson":
        """Train stage `number`, counted from 0, from where the stages before it ended.

        Args:
            number: Which stage.
            given: The images, at the size of the model.
            seed: Of dropout and augmentation; >= 0.
            first_epoch: How many epochs came before, in this stage and earlier ones.
            epochs: How many epochs to train; None for as many as the stage says.
            before: What the previous stage left.
            go_on: Whether weights and moments are kept, such as those of an earlier round of a search.
            **options: `callbacks` and `verbose` of `fit`.

        Raises:
            DivergedError: If the loss became NaN or infinite.
        """
        stage = self.recipe.stages[number]
        given, learner = given.in_stage(stage), self.learner.at_size(stage.image_size)
        pool = self._pool
        if not self._pristine[number]:  # what is frozen here was trained before
            pool = FeaturePool(self.learner, seed=seed, precision=self.recipe.precision)
        choice = self._choice(number, given)
        on_features = choice["features"] != "live"

        def material_of(fit: StageFit) -> Material:
            if not on_features:
                return fit.on_images(given)
            return OnFeatures.of(fit.fitter, pool, given, stage, choice["features"] == "memory")

        if stage.learning_rate == "auto":
            kind: dict[str, Any] = {"on_features": on_features, "precision": self.recipe.precision}
            rate, _ = found_rate(learner, stage, self._find_rate, material_of, seed=seed, start=self.start, **kind)
            stage = dataclasses.replace(stage, learning_rate=rate)
        length = stage.epochs if epochs is None else epochs
        fit = self._fit_of(number, stage, len(given.data.train) * length, on_features)
        if go_on:
            fit.go_on()
        else:
            fit.begin(before)
        material = material_of(fit)
        attempt = Attempt(fit, material, monitor=given.monitor, seed=seed, start=self.start)
        attempt(first_epoch, first_epoch + length, **options)
        attempt.check(number)
        return Lesson(fit, material, fit.model.history)

    def _choice(self, number: int, given: Given) -> dict[str, Any]:
        """What stage `number` is trained on; the same for all trainings."""
        if number not in self._choices:
            stage, shared = self.recipe.stages[number], self._pristine[number]
            self._choices[number] = choose(
                self.learner.at_size(stage.image_size),
                given,
                stage,
                cache_dir=self._pool.cache_dir if shared else None,
                measured=False,
            )
        return self._choices[number]

    def _fit_of(self, number: int, stage: Stage, total_steps: int, on_features: bool) -> StageFit:
        """The stage, compiled for this many steps; reused from an earlier training if there was one."""
        key = (number, total_steps, stage.learning_rate)
        if key not in self._fits:
            waiting = self._waiting.pop(number, None)
            if waiting is not None:
                waiting.set_schedule(stage, total_steps)
            options: dict[str, Any] = {"on_features": on_features, "precision": self.recipe.precision}
            self._fits[key] = waiting or StageFit(
                self.learner.at_size(stage.image_size), stage, total_steps=total_steps, **options
            )
        return self._fits[key]


@dataclasses.dataclass(frozen=True)
class Lesson:
    """A stage that has been trained."""

    fit: StageFit
    """What was fitted; its model has the best weights."""
    material: Material
    """What it was fitted on."""
    history: keras.callbacks.History
    """The metrics of its epochs."""
