"""A suffix that is trained again and again from its beginning, on features."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.callbacks import EpochSeeds, StopOnDivergence
from kertl.data import ImageData
from kertl.errors import DivergedError
from kertl.features import EpochFitter, FeatureBatches
from kertl.groups import features_of, find_chain
from kertl.heads import Head
from kertl.model import cut, target_spreads, task_of
from kertl.optimizers import optimizer_named
from kertl.recipe import Stage
from kertl.schedules import schedule_named
from kertl.tasks import loss_named, task_named


def with_head(model: keras.Model, data: ImageData, head: Head | None) -> keras.Model:
    """A classifier of the data's classes, which shares the layers of `model`.

    Args:
        model: A backbone, or a classifier.
        data: What it is to tell apart.
        head: What comes in the place of the classifier's own head; None keeps that, and gives a backbone a plain one.

    Raises:
        ValueError: If the classifier's own head does not go with the data.
    """
    if head is None and find_chain(model).has_head:
        outputs = task_named(data.task).outputs(data.num_classes)
        if model.output_shape[-1] != outputs or task_of(model) != data.task:
            raise complain(
                "model",
                f"a backbone, or a classifier with {outputs} outputs for the task {data.task!r}",
                model.name,
                f"It has {model.output_shape[-1]} for {task_of(model)!r}. Pass `head=kertl.Head()` for a new one.",
            )
        return model
    task = task_named(data.task)
    features = features_of(model)
    with drawing_from(0):
        answers = (head or Head())(features.output, task.outputs(data.num_classes), task)
    return keras.Model(features.input, answers, name=model.name)


class Trainee:
    """What lies behind a boundary, in copies of its layers, so that the model itself stays as it is.

    Args:
        model: A classifier with a head.
        stage: What trains, and how.
        data: What is trained on.
    """

    def __init__(self, model: keras.Model, stage: Stage, data: ImageData) -> None:
        self._stage, self._task = stage, task_named(data.task)
        self._spreads = target_spreads(model)
        chain = find_chain(model)
        _, self._suffix = cut(chain, chain.first_trained(stage.at))
        self._head = {id(layer) for layer in chain.layers(len(chain.backbone_groups), len(chain.groups))}
        self.model = self._copy(seed=0)
        self._steps = 0
        self._optimizer: Any = None
        self._optimizer_start: list[np.ndarray] = []

    def train(self, batches: FeatureBatches, seed: int) -> None:
        """Train from the pretrained weights and a newly drawn head, as plain Keras would.

        Args:
            batches: What to train on.
            seed: Of the head's weights and of dropout.

        Raises:
            DivergedError: If the loss became NaN or infinite.
        """
        self.model.set_weights(self._copy(seed).get_weights())
        self._begin(len(batches) * self._stage.epochs)
        divergence = StopOnDivergence()
        callbacks = [EpochSeeds(seed), divergence]
        self._fitter.fit(batches, epochs=self._stage.epochs, callbacks=callbacks, verbose=0)
        if divergence.diverged_at is not None:
            raise DivergedError(
                f"The loss became NaN or infinite in epoch {divergence.diverged_at[0] + 1}. Try a lower "
                f"`learning_rate` than {self._stage.learning_rate}, a tenth of it to begin with."
            )

    def probabilities(self, values: Any, rows: np.ndarray) -> np.ndarray:
        """Of each class, for some rows of the features; shape `(rows, classes)`."""
        chosen = keras.tree.map_structure(lambda array: array[rows], values)
        found = np.asarray(self.model.predict(chosen, batch_size=256, verbose=0))
        return np.column_stack([1 - found[:, 0], found[:, 0]]) if self._task.name == "binary" else found

    def _copy(self, seed: int) -> keras.Model:
        """The suffix in new layers: the backbone's with their weights, the head's with newly drawn ones."""
        with drawing_from(seed):
            copy = keras.models.clone_model(self._suffix)
        for layer, original in zip(copy.layers, self._suffix.layers, strict=True):
            layer.trainable = False  # under TensorFlow, setting True on what is True passes over the layers inside
            layer.trainable = True
            if id(original) in self._head:
                continue
            layer.set_weights(original.get_weights())
            for leaf in layer._flatten_layers():
                if isinstance(leaf, keras.layers.BatchNormalization) and self._stage.batch_norm == "frozen":
                    leaf.trainable = False
        return copy

    def _begin(self, total_steps: int) -> None:
        """An optimizer as it is before the first step; compiled anew only where the number of steps is another."""
        if total_steps == self._steps:
            for variable, value in zip(self._optimizer.variables, self._optimizer_start, strict=True):
                variable.assign(value)
            return
        stage, variables = self._stage, list(self.model.trainable_variables)
        schedule = schedule_named(stage.schedule, stage.peak, total_steps=total_steps)
        self._optimizer = optimizer_named(stage.optimizer, schedule, variables, weight_decay=stage.weight_decay)
        self.model.compile(
            optimizer=self._optimizer,
            loss=loss_named(self._task, stage.loss, smoothing=stage.label_smoothing, spreads=self._spreads),
            jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
        )
        self._optimizer_start = [np.array(keras.ops.convert_to_numpy(v)) for v in self._optimizer.variables]
        self._fitter = EpochFitter(self.model)
        self._steps = total_steps


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let layers that are made draw their weights as after `keras.utils.set_random_seed(seed)`.

    Keras draws the seeds of initialisers from Python's generator, which is given back as it was.
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
