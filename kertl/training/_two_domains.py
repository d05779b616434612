"""A stage that trains on features of two domains: labels of the one, and a loss that brings the other near it.

The loss is beside the model, not in it: when the stage ends, what was trained has no layer more than before.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from kertl._checks import one_of
from kertl.data import Epochs
from kertl.groups import drawing_from
from kertl.model import output_layer
from kertl.recipe import Stage
from kertl.training._domain_losses import coral_loss, mmd_loss
from kertl.training._learner import Learner
from kertl.training._material import OnBatches
from kertl.training._reverse_gradient import ReverseGradient, RisingStrength
from kertl.training._stage import Attempt, StageFit

DISTANCES = ("coral", "mmd", "adversarial")
_ADVERSARY_UNITS = 64


class Nearness(keras.layers.Layer):
    """Passes predictions on, and adds the distance of the features of two domains to the loss of the model.

    Args:
        distance: A function from features of source and target to a scalar.
        weight: Weight of the distance in the loss; >= 0.
    """

    def __init__(self, distance: Callable[[Any, Any], Any], weight: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._distance, self._weight = distance, weight

    def call(self, predictions: Any, source: Any, target: Any) -> Any:
        """The predictions."""
        self.add_loss(self._weight * self._distance(source, target))
        return predictions


class Adversary(keras.layers.Layer):
    """Passes predictions on, and adds the loss of a small network that tells two domains apart by their features.

    A reversed gradient is before it: the network learns to tell them apart, the features not to let it.

    Args:
        weight: Weight of that loss; >= 0.
    """

    def __init__(self, weight: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._weight = weight
        self.reversed = ReverseGradient()
        self._hidden = keras.layers.Dense(_ADVERSARY_UNITS, activation="relu", kernel_initializer="he_normal")
        self._last = keras.layers.Dense(1)

    def build(self, predictions_shape: Any, source_shape: Any, target_shape: Any) -> None:
        """Build the network for features of this width."""
        self._hidden.build(source_shape)
        self._last.build((None, _ADVERSARY_UNITS))

    def call(self, predictions: Any, source: Any, target: Any) -> Any:
        """The predictions."""
        scores = [self._last(self._hidden(self.reversed(rows))) for rows in (source, target)]
        # Cross-entropy of scores: the source should be below 0, the target above.
        losses = [keras.ops.mean(keras.ops.softplus(one)) for one in (scores[0], -scores[1])]
        self.add_loss(self._weight * (losses[0] + losses[1]) / 2)
        return predictions


class PairedBatches(Epochs):
    """Batches of as many rows of the source, with labels, as of the target, which comes round as often as needed.

    Args:
        source: Features of the source: an array with a row per image, or a tuple of such arrays.
        labels: What the model should answer, a row per image of the source.
        weights: Weight of each row in the loss.
        target: Features of the target, in the same form.
        batch_size: Rows of each domain in a batch; a last batch of fewer is left out.
        seed: Seed of the order.
    """

    def __init__(
        self, source: Any, labels: np.ndarray, weights: np.ndarray, target: Any, batch_size: int, seed: int
    ) -> None:
        counts = len(labels), len(keras.tree.flatten(target)[0])
        super().__init__(min(batch_size, *counts), seed, shuffle=True)
        self._source, self._labels, self._weights, self._target = source, labels, weights, target
        self._counts = counts

    @property
    def num_examples(self) -> int:
        """Rows of the source in an epoch."""
        return self._counts[0] // self.batch_size * self.batch_size

    def order(self, epoch: int) -> np.ndarray:
        """The rows of the source in the order of an epoch."""
        return np.random.default_rng((self.seed, epoch)).permutation(self._counts[0])

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Batch `index` of an epoch: rows of both domains, and labels and weights of the source's."""
        own = self.batch_rows(epoch, index)
        random, others = np.random.default_rng((self.seed, epoch, 1)), self._counts[1]
        rounds = -(-(index + 1) * self.batch_size // others)
        order = np.concatenate([random.permutation(others) for _ in range(rounds)])
        other = order[index * self.batch_size : (index + 1) * self.batch_size]
        rows = [
            keras.tree.map_structure(lambda array, chosen=chosen: np.asarray(array[chosen]), values)
            for values, chosen in ((self._source, own), (self._target, other))
        ]
        return tuple(keras.tree.flatten(rows)), self._labels[own], self._weights[own]


def train_on_domains(
    learner: Learner,
    stage: Stage,
    source: Any,
    labels: np.ndarray,
    target: Any,
    *,
    distance: str,
    weight: float,
    start: Any = None,
    seed: int = 0,
) -> None:
    """Train a stage on features of both domains at its boundary; the learner has the weights of its last epoch.

    Args:
        learner: What is trained; it ends in a Dense layer, whose inputs are brought near each other.
        stage: The stage.
        source: Features of the source at the boundary: an array with a row per image, or a tuple of such arrays.
        labels: What the model should answer for it, as its loss takes it.
        target: Features of the target, in the same form.
        distance: "coral" (Deep CORAL), "mmd" or "adversarial" (DANN).
        weight: Weight of the distance beside the loss of the classifier; >= 0.
        start: The value that each variable began with, by the variable's `id`, for L2-SP.
        seed: Seed of the order and of what is drawn; >= 0.

    Raises:
        ValueError: If there is no such distance.
        DivergedError: If the loss became NaN or infinite.
    """
    one_of("distance", distance, DISTANCES)
    losses = {"coral": coral_loss, "mmd": mmd_loss}
    layer = Adversary(weight) if distance == "adversarial" else Nearness(losses[distance], weight)
    batches = PairedBatches(source, labels, np.ones(len(labels), np.float32), target, int(stage.batch_size or 64), seed)
    steps = len(batches) * stage.epochs
    with drawing_from(seed):
        around = partial(_paired, layer=layer)
        fit = StageFit(learner, stage, total_steps=steps, on_features=True, around=around)
    callbacks: Sequence[keras.callbacks.Callback] = ()
    if isinstance(layer, Adversary):
        callbacks = [RisingStrength(layer.reversed, stage.epochs)]
    attempt = Attempt(fit, OnBatches(fit.model, batches), monitor=None, seed=seed, start=start or {})
    attempt(0, stage.epochs, callbacks=callbacks)
    attempt.check(0)


def _paired(suffix: keras.Model, layer: Any) -> keras.Model:
    """The model of features of both domains whose output is the answers for the source."""
    last = output_layer(suffix)
    assert last is not None
    both = keras.Model(suffix.inputs, [last.inputs, suffix.outputs[0]])
    pairs = [[keras.Input(one.shape[1:], dtype=one.dtype) for one in suffix.inputs] for _ in range(2)]
    (first, answers), (second, _) = (both(inputs[0] if len(inputs) == 1 else inputs) for inputs in pairs)
    return keras.Model([*pairs[0], *pairs[1]], layer(answers, first, second), name=f"{suffix.name}_of_domains")
