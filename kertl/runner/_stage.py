"""Training one stage, in place, on images."""

import dataclasses
import importlib.util
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl.callbacks import BestAverage, BestWeights, EpochSeeds, GroupRates, StopBelowValidation, StopOnDivergence
from kertl.data import ImageData, ImageDataset, augment, data_errors
from kertl.errors import DivergedError, RunError
from kertl.evaluation import predict
from kertl.groups import find_chain
from kertl.hardware import scope_of
from kertl.model import at_size, computing_in, model_info, stage_model, target_spreads
from kertl.optimizers import carry_moments, discriminative, optimizer_named, unbuilt
from kertl.range_test import lr_range_test
from kertl.recipe import NAMED, Recipe, Stage
from kertl.runner._checkpoints import Checkpoints
from kertl.runner._journal import Journal, Snapshot
from kertl.runner._kept import Kept, kept
from kertl.runner._material import Material, OnFeatures, OnImages
from kertl.runner._pull import pulled
from kertl.schedules import schedule_named
from kertl.tasks import loss_named, task_named

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a stage leaves for what comes next."""

    optimizer: keras.optimizers.Optimizer
    """Its optimizer."""
    variables: Sequence[Any]
    """The variables that this was built for."""
    predict: Callable[[ImageDataset], np.ndarray]
    """What the model says about images, in data order: from features where the stage was trained on features."""


class _Rows(keras.callbacks.Callback):
    """Hands each epoch's figures on as soon as it ends."""

    def __init__(self, stage: int, at: str | int, report: Callable[[dict[str, Any]], None]) -> None:
        super().__init__()
        self._stage, self._at, self._report = stage, at, report

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        figures = {name: float(value) for name, value in (logs or {}).items() if name != "learning_rate"}
        self._report({"stage": self._stage, "at": self._at, "epoch": epoch + 1, "learning_rate": rate, **figures})


def train_stage(
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    number: int,
    *,
    before: Trained | None,
    start: Sequence[np.ndarray],
    journal: Journal,
    snapshot: Snapshot | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: str | int,
) -> Trained:
    """Train stage `number` of a recipe, counted from 0; the best weights are in `model` afterwards.

    Args:
        model: The model to train, in place.
        data: Its images.
        recipe: The recipe.
        number: Which of its stages.
        before: What the stage before left.
        start: The weights that the run began with, where a stage is pulled towards them.
        journal: What has been trained so far, and where to write what comes.
        snapshot: Where in this stage to take up; None begins it.
        callbacks: More callbacks for `fit`.
        verbose: As in `fit`.

    Raises:
        DivergedError: If the loss became NaN or infinite; the best weights so far are in `model`.
        KeyboardInterrupt: On Ctrl-C; the best weights so far are in `model`.
    """
    stage = recipe.stages[number]
    data = data.oversampled() if stage.oversample else data
    first = sum(row["stage"] < number for row in journal.rows)
    data = data.changed(image_size=stage.image_size, batch_size=stage.batch_size)
    with scope_of(model):
        if snapshot is not None:  # the frozen part may have been trained in stages before
            snapshot.give_weights(model)
        sized = model if stage.image_size is None else at_size(model, stage.image_size)
        features = kept(sized, data, recipe, number, journal)
    with scope_of(model), computing_in(model, recipe.precision):
        live = _training_model(sized, stage)
        training = features.suffix if features else live
        chain = find_chain(sized)
        if stage.learning_rate == "auto":
            rate = _found_rate(training, model, data, recipe, number, features, journal)
            stage = dataclasses.replace(stage, learning_rate=rate)
        optimizer = _compile(training, model, data, recipe, stage, before)
        variables = list(training.trainable_variables)
        monitor = "val_loss" if data.validation is not None else "loss"
        best = (BestAverage if stage.ema else BestWeights)(monitor, stage.patience_epochs)
        crossing = [StopBelowValidation()] if stage.until_below_validation else []
        divergence = StopOnDivergence()
        material: Material = OnFeatures(training, features) if features else OnImages(training, data, stage)
        checkpoints = Checkpoints(number, model, [best, *callbacks], journal, material.steps, snapshot)

        def fit(begin: int, end: int, first_batch: int = 0) -> None:
            material.fit(
                first_batch,
                initial_epoch=begin,
                epochs=end,
                callbacks=[
                    EpochSeeds(recipe.seed, live),
                    divergence,
                    best,
                    *crossing,
                    *([GroupRates()] if _by_group(stage) else []),
                    _Rows(number, stage.at, journal.add),
                    *_tensorboard(journal.tensorboard),
                    *callbacks,
                    checkpoints,
                ],
                verbose=verbose,
            )

        try:
            backbone = chain.layers(0, len(chain.backbone_groups))
            with data_errors(data.train, data.validation), pulled(model, backbone, start, stage.l2_sp):
                _fit_from(checkpoints, fit, first, first + stage.epochs)
        except KeyboardInterrupt:
            checkpoints.sync()
            if best.best_weights is not None:
                training.set_weights(best.best_weights)
            raise
        except Exception as error:
            if not _out_of_memory(error):
                raise
            raise RunError(f"{_less(stage, number, data)} {journal.hint()}") from error
    if divergence.diverged_at is not None:
        raise DivergedError(_advice(stage, number, divergence.diverged_at, recipe.precision))
    # The model will answer in float32, which features in half precision are not, and at its own size.
    same = recipe.precision == "float32" and sized is model
    asked = features.predict if features and same else partial(predict, model)
    return Trained(optimizer, variables, asked)


def _fit_from(checkpoints: Checkpoints, fit: Callable[..., None], first: int, end: int) -> None:
    """Fit the epochs from `first` to `end`, or those that are left.

    A broken epoch is finished in a `fit` of its own: a shorter epoch within one `fit` would make the others as short.
    """
    at = checkpoints.position
    if at is not None and at.batch:
        fit(at.epoch, at.epoch + 1, checkpoints.first_batch)
        at = checkpoints.position
        if at is None or at.stopped or at.epoch == end:
            return
    # Where no epoch is left, `fit` has its callbacks do what comes at the end.
    begin = first if at is None else at.epoch
    fit(begin, begin if at is not None and at.stopped else end)


def _tensorboard(path: Path | None) -> list[keras.callbacks.Callback]:
    """Keras' TensorBoard callback, where there is a place to write to and TensorFlow to write with."""
    if path is None:
        return []
    if importlib.util.find_spec("tensorflow") is None:
        _logger.info("TensorFlow is not installed, so nothing is written for TensorBoard.")
        return []
    return [keras.callbacks.TensorBoard(path, write_graph=False)]


def _training_model(model: keras.Model, stage: Stage) -> keras.Model:
    """The stage's model with the augmentation in front of it."""
    trained = stage_model(model, stage.at, batch_norm=stage.batch_norm)
    layers = augment.layers(stage.augment)
    if not layers:
        return trained
    inputs = x = keras.Input(model.input_shape[1:], name="training_images")
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, trained(x), name=f"{trained.name}_augmented")


def _compile(
    training: keras.Model, model: keras.Model, data: ImageData, recipe: Recipe, stage: Stage, before: Trained | None
) -> keras.optimizers.Optimizer:
    variables = list(training.trainable_variables)
    optimizer = _optimizer(model, stage, variables, total_steps=len(data.train) * stage.epochs)
    if before is not None:
        carried = carry_moments(before.optimizer, before.variables, optimizer, variables)
        _logger.info("%d of %d variables keep their moments from the stage before.", carried, len(variables))
    info = model_info(model)
    task = task_named(info.task if info else "single_label")
    training.compile(
        optimizer=_scaled(optimizer, variables) if recipe.precision == "mixed_float16" else optimizer,
        loss=loss_named(task, stage.loss, smoothing=stage.label_smoothing, spreads=target_spreads(model)),
        metrics=task.metrics(),
        # XLA compiles neither all augmentation layers nor, on a CPU, anything that runs faster for it.
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    return optimizer


def _found_rate(
    training: keras.Model,
    model: keras.Model,
    data: ImageData,
    recipe: Recipe,
    number: int,
    features: Kept | None,
    journal: Journal,
) -> float:
    """What a range test suggests, written down before it is acted on; a run that goes on keeps to it."""
    choice: dict[str, Any] = journal.choices.get(str(number), {})
    if "learning_rate" not in choice:
        usual = _usual_rate(model, recipe.stages[number])
        plain = dataclasses.replace(recipe.stages[number], learning_rate=usual, schedule="constant")
        _compile(training, model, data, recipe, plain, None)
        found = lr_range_test(training, features.train if features else data.train, seed=recipe.seed).suggestion
        reason = "the valley of the range test" if found else "the named recipes' own: in the range test no loss fell"
        choice = {**choice, "learning_rate": found or usual, "learning_rate_reason": reason}
        journal.choose(number, choice)
        _logger.info("Learning rate of stage %d: %.1e, %s.", number + 1, choice["learning_rate"], reason)
    return float(choice["learning_rate"])


def _usual_rate(model: keras.Model, stage: Stage) -> float:
    """The rate that the named recipes have for a stage of that depth; after a good one, no test finds a fall."""
    chain = find_chain(model)
    first = chain.first_trained(stage.at)
    name = "full" if first == 0 else "mid" if first < len(chain.backbone_groups) else "deep"
    return float(NAMED[name][-1].peak)


def _optimizer(
    model: keras.Model, stage: Stage, variables: Sequence[Any], total_steps: int
) -> keras.optimizers.Optimizer:
    """The stage's optimizer, with one rate for all or one for each layer group."""
    schedule = schedule_named(stage.schedule, stage.peak, total_steps=total_steps)
    if not _by_group(stage):
        return optimizer_named(stage.optimizer, schedule, variables, weight_decay=stage.weight_decay, ema=stage.ema)
    plain = unbuilt(stage.optimizer, schedule, ema=stage.ema)
    by = (
        {"rates": stage.learning_rate} if isinstance(stage.learning_rate, tuple) else {"layer_decay": stage.layer_decay}
    )
    return discriminative(plain, model, weight_decay=stage.weight_decay, variables=variables, **by)


def _by_group(stage: Stage) -> bool:
    return isinstance(stage.learning_rate, tuple) or stage.layer_decay != 1


def _scaled(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> keras.optimizers.Optimizer:
    """The optimizer with a loss scale, without which float16 gradients vanish."""
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    scaled.build(variables)
    return scaled


def _out_of_memory(error: Exception) -> bool:
    named = type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError")
    return named or isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _less(stage: Stage, number: int, data: ImageData) -> str:
    return (
        f"Stage {number + 1} (at={stage.at!r}) takes more memory than there is, with batches of {data.batch_size} "
        f"images. Make the data with `batch_size={max(1, data.batch_size // 2)}` or with a smaller `image_size`, for a "
        f"new `run_dir`."
    )


def _advice(stage: Stage, number: int, place: tuple[int, int], precision: str) -> str:
    half = "" if precision == "float32" else f" or `precision='float32'` in the place of {precision!r},"
    return (
        f"The loss of stage {number + 1} (at={stage.at!r}) became NaN or infinite in epoch {place[0] + 1}, batch "
        f"{place[1] + 1}. The best weights so far are kept. Try a lower `learning_rate` than {stage.learning_rate}, "
        f"a tenth of it to begin with,{half} and look at `data.issues` for images that are not what they should be."
    )
