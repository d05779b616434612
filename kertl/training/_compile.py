"""Compiling what a stage trains: its optimizer, schedule, loss and metrics."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from kertl.groups import Chain
from kertl.optimizers import count_by_variable, discriminative, optimizer_named, unbuilt
from kertl.recipe import NAMED, Stage
from kertl.schedules import schedule_named
from kertl.tasks import Task, loss_named
from kertl.training._learner import Learner


def compile_for(
    model: keras.Model, learner: Learner, stage: Stage, *, total_steps: int, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """Compile `model` as a stage says, with a new optimizer for what trains in it.

    Args:
        model: What is fitted; shares the layers of the learner.
        learner: What is trained.
        stage: The stage; its rate is a number, or one for each end of the model.
        total_steps: Optimizer steps of its schedule.
        precision: The precision that the layers compute in; float16 needs its losses scaled.

    Returns:
        The optimizer that makes the steps, without the loss scale that may be around it.
    """
    variables = list(model.trainable_variables)
    optimizer = _optimizer(learner, stage, variables, total_steps)
    count_by_variable(optimizer)
    compile_with(
        model,
        _scaled(optimizer, variables) if precision == "mixed_float16" else optimizer,
        loss_of(learner.task, stage, learner.spreads),
        learner.task.metrics(),
    )
    return optimizer


def compile_with(model: keras.Model, optimizer: Any, loss: Any, metrics: Sequence[Any] = ()) -> None:
    """`compile` with the settings of everything that kertl trains."""
    # XLA does not compile all augmentation layers, and on a CPU it makes nothing faster.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer=optimizer, loss=loss, metrics=list(metrics), jit_compile=jit)


def loss_of(task: Task, stage: Stage, spreads: Sequence[float] | None) -> Any:
    """The loss of a stage."""
    return loss_named(task, stage.loss, smoothing=stage.label_smoothing, spreads=spreads)


def schedule_of(stage: Stage, total_steps: int) -> Any:
    """The learning rate of a stage by step; 0 where the head is solved and no step may move it."""
    if stage.solver == "exact":
        return 0.0
    return schedule_named(stage.schedule, stage.peak, total_steps=total_steps)


def rates_by_group(stage: Stage) -> bool:
    """Whether the layer groups of a stage have learning rates of their own."""
    return isinstance(stage.learning_rate, tuple) or stage.layer_decay != 1


def usual_stage(chain: Chain, at: str | int) -> Stage:
    """The stage that the named recipes use at this depth, at this boundary.

    Raises:
        ValueError: If there is no such boundary.
    """
    first = chain.first_trained(at)
    name = "full" if first == 0 else "mid" if first < len(chain.backbone_groups) else "deep"
    return dataclasses.replace(NAMED[name][-1], at=at)


def _optimizer(
    learner: Learner, stage: Stage, variables: Sequence[Any], total_steps: int
) -> keras.optimizers.Optimizer:
    """The stage's optimizer, with one rate for all or one for each layer group."""
    schedule = schedule_of(stage, total_steps)
    if not rates_by_group(stage):
        return optimizer_named(stage.optimizer, schedule, variables, weight_decay=stage.weight_decay, ema=stage.ema)
    plain = unbuilt(stage.optimizer, schedule, ema=stage.ema)
    by = (
        {"rates": stage.learning_rate} if isinstance(stage.learning_rate, tuple) else {"layer_decay": stage.layer_decay}
    )
    return discriminative(plain, learner.chain, weight_decay=stage.weight_decay, variables=variables, **by)


def _scaled(optimizer: keras.optimizers.Optimizer, variables: Sequence[Any]) -> keras.optimizers.Optimizer:
    """The optimizer with a loss scale, without which float16 gradients vanish."""
    scaled = keras.optimizers.LossScaleOptimizer(optimizer)
    scaled.build(variables)
    return scaled
