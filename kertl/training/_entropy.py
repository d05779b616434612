"""Tent: scales and offsets of BatchNorm layers trained so that the predictions for images without labels are sure."""

from typing import Any

import keras
import numpy as np

from kertl.data import Epochs, ImageDataset, data_errors
from kertl.model import InferenceMode
from kertl.recipe import Stage
from kertl.training._domain_losses import entropy_loss
from kertl.training._learner import Learner
from kertl.training._material import OnBatches
from kertl.training._stage import Attempt, StageFit

_STAGE = Stage(
    "full",
    epochs=3,
    learning_rate=1e-3,
    schedule="constant",
    weight_decay=0.0,
    loss=entropy_loss,
    label_smoothing=0.0,
    augment="none",
    cache=False,
    batch_size=64,
)


class _Scales(Learner):
    """A model of which only the scales and offsets of its BatchNorm layers train; their statistics stay."""

    def set_trainable(self, stage: Stage) -> None:
        """Make exactly these trainable."""
        for layer in self.chain.layers(0, len(self.chain.groups)):
            layer.trainable = isinstance(layer, keras.layers.BatchNormalization)


class _Unlabelled(Epochs):
    """Batches of images, with 0 for the labels that there are none of; a last batch of fewer is left out."""

    def __init__(self, images: ImageDataset, batch_size: int, seed: int) -> None:
        super().__init__(min(batch_size, images.num_examples), seed, shuffle=True)
        self._images = images

    @property
    def num_examples(self) -> int:
        """Images in an epoch."""
        return self._images.num_examples // self.batch_size * self.batch_size

    def order(self, epoch: int) -> np.ndarray:
        """The images in the order of an epoch."""
        return np.random.default_rng((self.seed, epoch)).permutation(self._images.num_examples)

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Batch `index` of an epoch."""
        rows = self.batch_rows(epoch, index)
        return self._images.reader.take(rows), np.zeros((len(rows), 1), np.float32)


def train_on_entropy(learner: Learner, images: ImageDataset, *, stage: Stage = _STAGE, seed: int = 0) -> None:
    """Train the scales and offsets of the BatchNorm layers of a model on the entropy of its predictions.

    Statistics stay as they are, dropout is off, and so the model that was trained is the model that predicts.

    Args:
        learner: What is trained, in place; a classifier.
        images: Images without labels, at the size of the model.
        stage: How; its loss is that of Tent.
        seed: Seed of the order; >= 0.

    Raises:
        DivergedError: If the loss became NaN or infinite.
    """
    scales = _Scales(learner.chain, learner.task, None, learner.model)
    batches = _Unlabelled(images, int(stage.batch_size or 64), seed)
    steps = len(batches) * stage.epochs
    fit = StageFit(scales, stage, total_steps=steps, on_features=False, around=_in_inference_mode)
    attempt = Attempt(fit, OnBatches(fit.model, batches), monitor=None, seed=seed, start={})
    with data_errors(images):
        attempt(0, stage.epochs)
    attempt.check(0)


def _in_inference_mode(model: keras.Model) -> keras.Model:
    inputs = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype)
    return keras.Model(inputs, InferenceMode(model)(inputs), name=f"{model.name}_sure")
