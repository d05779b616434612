"""What recipe, model and data must have in common to be trained at all: one table, for `fine_tune` and for `check`."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from kertl._checks import complain, named
from kertl._transformations import refuse_colours
from kertl.backbones import refuse_nan
from kertl.data import ImageData
from kertl.errors import ArgumentError
from kertl.groups import find_chain
from kertl.hardware import replicas, scope_of
from kertl.model import at_size, model_info, output_layer, refuse_other_pictures
from kertl.quantization import plan_of
from kertl.recipe import Recipe
from kertl.tasks import loss_named, task_named
from kertl.training import refuse_other_heads, refuse_without_low_rank, refuse_without_recomputable


@dataclass(frozen=True)
class Requirement:
    """Something without which training would fail, maybe after hours."""

    name: str
    clash: str
    """What clashes where it is not met."""
    require: Callable[[keras.Model, ImageData, Recipe | None], None]
    """Raises if it is not met; the message says what to do. Without a recipe, what holds for every recipe counts."""


def require(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    """Raise if training would fail.

    Args:
        model: The model to train.
        data: The images.
        recipe: The recipe; None if it is still to be chosen.

    Raises:
        ValueError: If model, data and recipe do not go together.
        WeightsError: If a weight of the model is NaN or infinite.
    """
    for one in REQUIREMENTS:
        one.require(model, data, recipe)


def _finite_weights(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    refuse_nan(model)


def _task(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    info, task = model_info(model), task_named(data.task)
    if info is not None and info.task != task.name:
        raise ArgumentError(
            f"`model` must be for the task of the data, {task.name!r}. Received: {named(model)} for {info.task!r}. "
            f"Build it with `task={task.name!r}`, or make the data with `task={info.task!r}`.",
            code="task",
        )
    last = output_layer(model)
    if info is None and last is not None and last.activation != task.activation and task.output_of == "class":
        raise ArgumentError(
            f"`model` must end in {task.activation} for the task of the data, {task.name!r}. "
            f"Received: {named(model)}, which ends in {last.activation}. Put a `keras.layers.Activation` after it if "
            f"it gives logits, or `kertl.build(kertl.load_backbone(model), task={task.name!r}, ...)` for a new head.",
            code="task",
        )


def _classes(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    info, task = model_info(model), task_named(data.task)
    names, outputs = list(data.class_names), model.output_shape[-1]
    if outputs != task.outputs(len(names)):
        wanted = (
            "one output for the two classes of the data"
            if task.name == "binary"
            else (f"one output per {'target' if task.name == 'regression' else 'class'} of the data, {len(names)}")
        )
        raise ArgumentError(
            f"`model` must have {wanted}: {names}. Received: {named(model)} with {outputs} outputs. "
            f"`kertl.build(kertl.load_backbone(model), class_names=data.class_names, task=data.task)` puts a new head "
            f"on its backbone; `kertl.extend_classes(model, names)` keeps the classes that it knows and adds others.",
            code="classes",
        )
    if info is not None and info.class_names and list(info.class_names) != names:
        raise ArgumentError(
            f"`model` must have the classes of the data in the same order, {names}. "
            f"Received: {named(model)} with {list(info.class_names)}. If they are the same classes, make the data with "
            f"`class_names={list(info.class_names)}`.",
            code="classes",
        )


def _pictures(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    refuse_other_pictures(model.name, model.input_shape[1:], data)


def _classes_to_weigh(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    stages = recipe.stages if recipe else ()
    if any(stage.class_weights for stage in stages):
        _ = data.class_weights  # raises if the task has none
    if any(stage.oversample for stage in stages):
        data.oversampled()


def _cutmix(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    most = max((stage.cutmix for stage in recipe.stages), default=0.0) if recipe else 0.0
    if task_named(data.task).output_of == "target" and most:
        raise ArgumentError(
            "`cutmix` must be 0 in a regression: the area of a piece says nothing about a number. Received: "
            f"cutmix={most}. `mixup` mixes targets.",
            code="combination",
        )


def _colours(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    for stage in recipe.stages if recipe else ():
        refuse_colours(stage.augment, data.channels)


def _boundaries(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    chain = find_chain(model)
    for stage in recipe.stages if recipe else ():
        chain.first_trained(stage.at)


def _solvable_heads(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    chain = find_chain(model)
    for stage in recipe.stages if recipe else ():
        refuse_other_heads(chain, stage, task_named(data.task))


def _low_rank(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    chain = find_chain(model)
    for stage in recipe.stages if recipe else ():
        refuse_without_low_rank(chain, stage)


def _recomputable(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    chain = find_chain(model)
    for stage in recipe.stages if recipe else ():
        refuse_without_recomputable(chain, stage)


def _eight_bits(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    if recipe is None or not any(stage.quantize for stage in recipe.stages):
        return
    plan_of(find_chain(model))
    if task_named(data.task).output_of == "target":
        raise complain("quantize", "left out in a regression, whose values have no grid that is known before", "int8")
    with scope_of(model):
        if replicas() > 1:
            raise complain("quantize", "left out on several replicas, which would observe ranges apart", "int8")


def _losses(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    for stage in recipe.stages if recipe else ():
        loss_named(task_named(data.task), stage.loss)


def _sizes(model: keras.Model, data: ImageData, recipe: Recipe | None) -> None:
    for stage in recipe.stages if recipe else ():
        if stage.image_size is not None:
            at_size(model, stage.image_size)


REQUIREMENTS: tuple[Requirement, ...] = (
    Requirement("finite-weights", "A weight that is NaN or infinite", _finite_weights),
    Requirement("one-task", "A model for another task than the data", _task),
    Requirement("same-classes", "A model with other outputs than the classes or targets of the data", _classes),
    Requirement("same-pictures", "Images of another size, or of other channels, than the model's", _pictures),
    Requirement("classes-to-weigh", "Class weights or oversampling, and images without one class", _classes_to_weigh),
    Requirement("cutmix-of-numbers", "CutMix, and a regression", _cutmix),
    Requirement("colours-to-vary", "Changes of colour, and images without colour", _colours),
    Requirement("known-boundary", "A boundary that the model does not have", _boundaries),
    Requirement("solvable-head", "`solver='exact'`, and a head that is more than one Dense layer", _solvable_heads),
    Requirement("layers-for-low-rank", "`lora_rank`, and a stage without a layer that can have factors", _low_rank),
    Requirement("layers-to-recompute", "`gradient_checkpointing`, and only layers that draw or count", _recomputable),
    Requirement("layers-for-int8", "`quantize`, and layers, a task or replicas that 8 bits do not know", _eight_bits),
    Requirement("loss-of-the-task", "A loss for another task", _losses),
    Requirement("possible-size", "An `image_size` that the layers of the model do not fit", _sizes),
)
