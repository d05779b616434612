"""One stage of a run: its choices, its records, and resuming it where it was interrupted."""

import dataclasses
import gc
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

import keras
import numpy as np

from kertl._memory import out_of_memory
from kertl._terminal import working
from kertl.data import ImageData, ImageDataset
from kertl.diagnosis import Watch, known_of
from kertl.errors import RunError
from kertl.evaluation import predict
from kertl.features import Features, class_weights, judged_batches
from kertl.groups import Chain
from kertl.hardware import scope_of
from kertl.probes import STRENGTHS, USUAL_STRENGTH, Solution
from kertl.quantization import note_ranges
from kertl.range_test import suggested_rate
from kertl.recipe import Recipe, Stage
from kertl.runner._agreement import agreed
from kertl.runner._board import RunBoard
from kertl.runner._checkpoints import Checkpoints
from kertl.runner._journal import Journal, Snapshot
from kertl.runner._parts import brief, halve, part_size
from kertl.runner._view import StageView
from kertl.tasks import task_named
from kertl.training import (
    LIVE,
    Attempt,
    FeaturePool,
    Given,
    Learner,
    Material,
    OnFeatures,
    StageFit,
    Trained,
    choose,
    factors_added,
    found_rate,
    give_head,
    solve_head,
)

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class StageEnd:
    """What a stage leaves for the next one."""

    trained: Trained
    """Its optimizer."""
    monitored: float | None
    """The best value of the monitored metric; None if none was finite."""
    predict: Callable[[ImageDataset], np.ndarray]
    """Predictions for images, in data order: from features if the stage was trained on features."""


class _Rows(keras.callbacks.Callback):
    """Hands the metrics of each epoch on as soon as it ends, and says what they show while there are epochs left."""

    def __init__(self, stage: int, at: str | int, journal: Journal, watch: Watch, end: int) -> None:
        super().__init__()
        self._stage, self._at, self._journal, self._watch, self._end = stage, at, journal, watch, end

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        metrics = {name: float(value) for name, value in (logs or {}).items() if name != "learning_rate"}
        self._journal.add({"stage": self._stage, "at": self._at, "epoch": epoch + 1, "learning_rate": rate, **metrics})
        said = self._watch.look(self._journal.rows, self._end - epoch - 1)
        if said is not None:
            _logger.warning("%s", said)


class StageRunner:
    """Trains the stages of a run in place, one after the other.

    Args:
        learner: The learner that is trained.
        data: Its images.
        recipe: The recipe.
        start: The value that each variable of the run began with, by the variable's `id`, for L2-SP.
        journal: What has been trained so far, and where to write what follows.
        keepers: What keeps weights of stages that have ended; its state goes into the checkpoints.
        board: Writes for TensorBoard.
        callbacks: More callbacks for every `fit`.
        verbose: 0 for silence, 2 for a line an epoch; otherwise a table on a terminal.
    """

    def __init__(
        self,
        learner: Learner,
        data: ImageData,
        recipe: Recipe,
        *,
        start: Mapping[int, np.ndarray],
        journal: Journal,
        keepers: Sequence[Any],
        board: RunBoard,
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: str | int,
    ) -> None:
        self._learner, self._data, self._recipe, self._start = learner, data, recipe, start
        self._journal, self._keepers, self._board = journal, keepers, board
        self._callbacks, self._verbose = callbacks, verbose
        one_class, validation = task_named(data.task).one_class, data.validation
        known = dataclasses.replace(
            known_of({}, recipe, data.task),
            classes=len(data.class_names) if one_class else None,
            validation_images=None if validation is None else validation.num_examples,
            majority=None if validation is None or not one_class else _largest_share(np.asarray(validation.labels)),
        )
        self._watch = Watch(known)
        # In this order they are in the checkpoints, without the factors that a stage may add for a while.
        self._variables = list(learner.model.variables)
        self.monitored: float | None = None
        """The best value of what chose the weights of the stage that was trained last."""

    @property
    def journal(self) -> Journal:
        """What has been trained so far, and where to write what follows."""
        return self._journal

    @property
    def chain(self) -> Chain:
        """The layer groups of the model."""
        return self._learner.chain

    def train(self, number: int, before: Trained | None, snapshot: Snapshot | None) -> StageEnd:
        """Train stage `number`, counted from 0; the best weights of it are in the model afterwards.

        Where memory runs out, the stage goes on from its last checkpoint with batches that are computed in parts.

        Args:
            number: Which stage.
            before: What the previous stage left.
            snapshot: Where to resume in this stage; None begins it.

        Raises:
            DivergedError: If the loss became NaN or infinite; the best weights so far are in the model.
            KeyboardInterrupt: On Ctrl-C; the best weights so far are in the model.
            RunError: If memory runs out, and a batch cannot be divided further.
        """
        while True:
            try:
                return self._trained(number, before, snapshot)
            except Exception as error:
                if not out_of_memory(error):
                    raise
                said = brief(error)
            # Only here is the error gone, and with it what its frames held.
            gc.collect()
            snapshot = self._again_from(number)
            stage, model = self._recipe.stages[number], self._learner.model
            self._learner.set_trainable(stage)
            halve(self._journal, number, stage, Given(self._data).in_stage(stage).data, model, said)

    def _again_from(self, number: int) -> Snapshot | None:
        """Where stage `number` resumes after an error; None for its beginning."""
        journal = self._journal
        journal.stop.waits = False
        return journal.go_back(number)

    def _trained(self, number: int, before: Trained | None, snapshot: Snapshot | None) -> StageEnd:
        """As `train`, with batches as they are."""
        model, journal = self._learner.model, self._journal
        first = sum(row["stage"] < number for row in journal.rows)
        with scope_of(model), ExitStack() as leaving:
            if snapshot is not None:  # the frozen part may have been trained in stages before
                snapshot.give_weights(model)
            wanted = self._recipe.stages[number]
            leaving.enter_context(factors_added(self._learner.chain, wanted, self._recipe.seed))
            with working("Preparing the stage", self._verbose):
                stage, fit, material, answered = self._prepared(number)
                fit.begin(before if snapshot is None else None)  # a snapshot has the moments too
            monitor = Given(self._data).monitor
            attempt = Attempt(
                fit,
                material,
                monitor=monitor,
                seed=self._recipe.seed,
                start=self._start,
                strength=self._strength(number),
                note=partial(self._note_strength, number),
            )
            keeping = [*self._keepers, attempt.best, *self._callbacks]
            checkpoints = Checkpoints(number, self._variables, keeping, journal, material.steps, snapshot)
            view = StageView(
                f"Stage {number + 1} of {len(self._recipe.stages)}",
                first=first,
                epochs=stage.epochs,
                steps=material.steps,
                monitor=monitor,
                past=[row for row in journal.rows if row["stage"] == number],
                lines=self._verbose == 2,
            )
            along = [
                _Rows(number, stage.at, journal, self._watch, first + stage.epochs),
                *self._board.watching(number, material),
                *self._callbacks,
                *([view] if self._verbose else ()),
                checkpoints,
            ]
            self._board.mark(number, first, begins=True)
            try:
                with view if self._verbose else nullcontext():
                    _fit_from(checkpoints, partial(attempt, callbacks=along), first, first + stage.epochs)
            except KeyboardInterrupt:
                checkpoints.sync()
                if attempt.best.best_weights is not None:
                    fit.model.set_weights(attempt.best.best_weights)
                raise
            finally:
                self.monitored = attempt.best.best
        attempt.check(number)
        if fit.rounded is not None:
            note_ranges(model, fit.rounded)
        self._board.mark(number, max(first, len(journal.rows) - 1), begins=False)
        return StageEnd(fit.trained, attempt.best.best, answered)

    def predictions(self, number: int) -> Callable[[ImageDataset], np.ndarray]:
        """What predicts as stage `number` does, with the model's present weights."""
        with scope_of(self._learner.model):
            return self._prepared(number)[-1]

    def refit(self, number: int) -> dict[str, Any]:
        """Solve the head of stage `number` once more on the training and the validation images; what to say of it."""
        strength = self._strength(number)
        with scope_of(self._learner.model):
            stage, fit, material, _ = self._prepared(number)
            assert isinstance(material, OnFeatures)
            if material.validation is not None:  # in the loss they now count as their class does in training
                material.validation.weights = class_weights(self._data, stage, material.validation.labels)
            parts = [part for part in (material.train, material.validation) if part is not None]
            solution = solve_head(fit.learner, stage, parts, None, strength=strength)
            give_head(fit.learner, stage, solution)
        images = sum(part.num_examples for part in parts)
        _logger.info("The head was solved once more on all %d training and validation images.", images)
        return {"stage": number, "images": images, "strength": strength}

    def _strength(self, number: int) -> float | None:
        """The strength of a penalty that was chosen before; None if none was.

        Raises:
            RunError: If choices.json has another value than those that are tried.
        """
        strength = self._journal.choices.get(str(number), {}).get("strength")
        if strength not in (None, *STRENGTHS, USUAL_STRENGTH):
            raise RunError(
                f"choices.json must have one of the strengths of a penalty that are tried, or none. Received: strength="
                f"{strength!r} for stage {number + 1}. Restore the file, or remove the directory to begin again.",
                code="damaged",
            )
        return strength

    def _note_strength(self, number: int, solution: Solution) -> None:
        """Write the strength of a penalty before the head that it leads to; a run that resumes keeps to it."""
        journal, known = self._journal, self._journal.choices.get(str(number), {})
        if "strength" not in known:
            found = solution.mean_losses(self._learner.task.activation)  # as the history has them
            losses = {f"{strength:g}": loss for strength, loss in found.items()}
            journal.choose(number, {**known, "strength": solution.strength, "loss_by_strength": losses})
            _logger.info("Penalty of stage %d: %g, of %d that were tried.", number + 1, solution.strength, len(losses))

    def _prepared(self, number: int) -> tuple[Stage, StageFit, Material, Callable[[ImageDataset], np.ndarray]]:
        """The stage with a known rate, compiled, the data it is fitted on, and what predicts.

        Choices are written before they take effect, and a run that resumes keeps to them.
        """
        recipe, journal = self._recipe, self._journal
        stage = recipe.stages[number]
        learner, given = self._learner.at_size(stage.image_size), Given(self._data).in_stage(stage)
        choice: dict[str, Any] = journal.choices.get(str(number), {})
        if "features" not in choice:
            own = choose(learner, given, stage, cache_dir=journal.features_dir)
            found = agreed(journal.team, lambda: own)
            if found != LIVE:
                journal.choose(number, choice := {**choice, **found})
        on_features = choice.get("features", "live") != "live"
        pool = self._pool(number, choice) if on_features else None
        parts = part_size(journal, number, given.data.batch_size)

        def material_of(fit: StageFit) -> Material:
            if pool is None:
                return fit.on_images(given, parts)
            return OnFeatures.of(fit.fitter, pool, given, stage, choice["features"] == "memory")

        if stage.learning_rate == "auto":
            rate = self._rate(number, learner, material_of, on_features=on_features, part_size=parts)
            stage = dataclasses.replace(stage, learning_rate=rate)
        steps = len(given.data.train) * stage.epochs
        options: dict[str, Any] = {"on_features": on_features, "precision": recipe.precision, "part_size": parts}
        fit = StageFit(learner, stage, total_steps=steps, **options)
        # The model predicts in float32, which features in half precision are not, and at its own size.
        if pool is None or recipe.precision != "float32" or learner is not self._learner:
            return stage, fit, material_of(fit), partial(predict, self._learner.model)

        def from_features(part: ImageDataset) -> np.ndarray:
            values = pool.values(stage, part, in_memory=choice["features"] == "memory")
            return np.asarray(fit.model.predict(judged_batches(values, part), verbose=0))

        return stage, fit, material_of(fit), from_features

    def _pool(self, number: int, choice: dict[str, Any]) -> FeaturePool:
        """Features of the model as it is when the stage begins; the engine that computed them is recorded."""
        journal = self._journal

        def note(found: Features) -> None:
            known = journal.choices[str(number)]
            if known["engine"] == "auto":
                journal.choose(number, {**known, "engine": found.engine, "engine_reason": found.reason})

        return FeaturePool(
            self._learner,
            seed=self._recipe.seed,
            precision=self._recipe.precision,
            cache_dir=journal.features_dir if choice["files"] else None,
            engine=choice["engine"],
            note=note,
        )

    def _rate(
        self, number: int, learner: Learner, material_of: Callable[[StageFit], Material], **options: Any
    ) -> float:
        """What a range test suggests, written before it takes effect; a run that resumes keeps to it."""
        journal, recipe = self._journal, self._recipe
        if "learning_rate" not in journal.choices.get(str(number), {}):
            rate, reason = found_rate(
                learner,
                recipe.stages[number],
                suggested_rate,
                material_of,
                precision=recipe.precision,
                seed=recipe.seed,
                start=self._start,
                **options,
            )
            known = journal.choices.get(str(number), {})
            journal.choose(number, {**known, "learning_rate": rate, "learning_rate_reason": reason})
            _logger.info("Learning rate of stage %d: %.1e, %s.", number + 1, rate, reason)
        return float(journal.choices[str(number)]["learning_rate"])


def _fit_from(checkpoints: Checkpoints, fit: Callable[..., None], first: int, end: int) -> None:
    """Fit the epochs from `first` to `end`, or those that are left.

    An interrupted epoch is finished in a separate `fit`: a shorter epoch within one `fit` would make the others as
    short.
    """
    at = checkpoints.position
    if at is not None and at.batch:
        fit(at.epoch, at.epoch + 1, first_batch=checkpoints.first_batch)
        at = checkpoints.position
        if at is None or at.stopped or at.epoch == end:
            return
    # If no epoch is left, `fit` still has its callbacks do what comes at the end.
    begin = first if at is None else at.epoch
    fit(begin, begin if at is not None and at.stopped else end)


def _largest_share(labels: np.ndarray) -> float:
    """Share of the images that the largest class has."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))
