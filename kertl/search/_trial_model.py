"""The model that a trial trains: copies of the layers behind its boundary, and a new head."""

from typing import Any

import keras

from kertl.data import ImageData, augment
from kertl.groups import Chain
from kertl.heads import Head
from kertl.model import FrozenPrefix
from kertl.optimizers import optimizer_named
from kertl.recipe import Stage
from kertl.schedules import schedule_named
from kertl.search._candidate import Candidate, on_features
from kertl.search._shared import Pooled, Shared
from kertl.studies import drawing_from
from kertl.tasks import loss_named, task_named

_HEAD = "head"


def trial_model(shared: Shared, candidate: Candidate, data: ImageData, seed: int) -> keras.Model:
    """The model of the last stage, compiled; the backbone itself is not trained.

    Args:
        shared: The backbones.
        candidate: What to train.
        data: The images, at the size of the stage.
        seed: Of the head's weights.

    Returns:
        A model that takes features where the stage trains on these, and else images.
    """
    stage, pooling = candidate.recipe.stages[-1], candidate.head.pooling
    pooled = shared.pooled(candidate.backbone, data.image_size, pooling)
    chain = pooled.chain
    first = chain.first_trained(stage.at)
    with drawing_from(seed):
        head = _head(candidate.head, pooled.width, data)
        behind = _copy(chain, first, pooled.end, stage.batch_norm) if first < pooled.end else None
    if not trains_on_features(chain, stage):
        model = _on_images(chain, first, behind, head, stage)
    elif behind is None:
        model = head_on_features(shared, candidate, data, head)
    else:
        inputs = [keras.Input(chain.graph.shapes[ref]) for ref in chain.crossing(first)]
        model = keras.Model(_alone(inputs), head(behind(_alone(inputs))), name="trial")
    compile_for(model, stage, data)
    return model


def trains_on_features(chain: Chain, stage: Stage) -> bool:
    """Whether something is frozen, and the stage can do with what that makes of the images once."""
    return on_features(stage) and chain.first_trained(stage.at) > 0


def head_on_features(
    shared: Shared, candidate: Candidate, data: ImageData, trial: keras.Model, compiled_for: Stage | None = None
) -> keras.Model:
    """A trial's head, or the trial that it is inside of, as a model of the features at the end of the backbone.

    Args:
        shared: The backbones.
        candidate: What is trained.
        data: The images, at the size of the stage.
        trial: The head, or a model with it as its last layer.
        compiled_for: The stage that it is compiled for, if any.
    """
    head = trial if trial.name == _HEAD else trial.get_layer(_HEAD)
    pooling, width = candidate.head.pooling, head.input_shape[-1]
    source: Pooled = shared.frozen(candidate.backbone, data.image_size, pooling, Stage("deep"))
    inputs = keras.Input((source.width,))
    # Averages and then maxima are kept of every feature map.
    place = width if pooling == "max" else 0
    chosen = inputs if source.width == width else inputs[:, place : place + width]
    model = keras.Model(inputs, head(chosen), name="head_on_features")
    if compiled_for is not None:
        compile_for(model, compiled_for, data)
    return model


def compile_for(model: keras.Model, stage: Stage, data: ImageData) -> None:
    """Compile as a stage says; `set_length` gives the schedule its length."""
    task, scaling = task_named(data.task), data.target_scaling
    schedule = schedule_named(stage.schedule, stage.peak, total_steps=len(data.train) * stage.epochs)
    optimizer = optimizer_named(stage.optimizer, schedule, model.trainable_variables, weight_decay=stage.weight_decay)
    optimizer.follows_stage = True
    model.compile(
        optimizer=optimizer,
        loss=loss_named(task, stage.loss, smoothing=stage.label_smoothing, spreads=scaling[1] if scaling else None),
        metrics=task.metrics(),
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )


def set_length(model: keras.Model, stage: Stage, total_steps: int) -> None:
    """Have the schedule last so many steps; an optimizer that a tuner put there itself is left alone."""
    if getattr(model.optimizer, "follows_stage", False):
        model.optimizer.learning_rate = schedule_named(stage.schedule, stage.peak, total_steps=total_steps)


def _head(head: Head, width: int, data: ImageData) -> keras.Model:
    """The head as a model of pooled features."""
    task = task_named(data.task)
    inputs = keras.Input((width,), name="pooled_features")
    answers = head(inputs, task.outputs(data.num_classes), task)
    if data.target_scaling is not None:
        means, spreads = (list(values) for values in data.target_scaling)
        answers = keras.layers.Rescaling(spreads, means, dtype="float32", name="original_units")(answers)
    return keras.Model(inputs, answers, name=_HEAD)


def _copy(chain: Chain, first: int, stop: int, batch_norm: str) -> keras.Model:
    """The groups `first` to `stop` in new layers with the same weights."""
    original = chain.piece(first, stop, name="suffix")
    copy = keras.models.clone_model(original)
    copy.set_weights(original.get_weights())
    copy.trainable = False  # under TensorFlow, setting True on what is True passes over the layers inside
    copy.trainable = True
    for leaf in copy._flatten_layers():
        if isinstance(leaf, keras.layers.BatchNormalization) and batch_norm == "frozen":
            leaf.trainable = False
    return copy


def _on_images(chain: Chain, first: int, behind: Any, head: keras.Model, stage: Stage) -> keras.Model:
    inputs = x = keras.Input(chain.graph.shapes[chain.graph.input], name="training_images")
    for layer in augment.layers(stage.augment):
        x = layer(x)
    if first:
        x = FrozenPrefix(chain.piece(0, first, name="prefix"), name="frozen_prefix")(x)
    return keras.Model(inputs, head(x if behind is None else behind(x)), name="trial")


def _alone(items: list[Any]) -> Any:
    return items[0] if len(items) == 1 else items
