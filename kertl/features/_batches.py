"""Features in batches, and a `fit` on them that runs a whole epoch per call.

The order of an epoch is that of `kertl.data.ImageDataset`, so training on features sees the examples in the same order
as training on their images.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kertl._checks import complain, integer, number
from kertl.callbacks import DataEpoch
from kertl.data import Epochs, label_shares, mixed, mixing

if TYPE_CHECKING:
    import tensorflow as tf

# Numbers in a batch that is only evaluated, not trained on: four megabytes.
_JUDGED_AT_ONCE = 2**20


class FeatureBatches(Epochs):
    """Rows of features in batches, as `(features, labels)` or `(features, labels, weights)`.

    In epoch `e` the order, if shuffled, is `np.random.default_rng((seed, e)).permutation(num_examples)`. Every whole
    pass counts `epoch` up by one; `EpochFitter` sets it to the epoch of `fit`. A `fit` without it must be called with
    `shuffle=False`.

    Attributes:
        values: The features, an array with one row per example, or a tuple of such arrays.
        labels: The labels of all rows of `values`.
        weights: The weight of each row of `values` in the loss, or None.
        rows: Which rows of the first version the examples are.
        versions: How many versions of every example `values` holds, one after the other; each epoch takes another.
        batch_size: Examples per batch.
        seed: Seed of the order.
        shuffle: Whether the order changes from epoch to epoch.
        mixup: How much each example is mixed with another of its batch, as in `feature_batches`.
        epoch: The epoch whose batches `batches[i]` gives; may be set.
    """

    def __init__(
        self,
        values: Any,
        labels: np.ndarray,
        weights: np.ndarray | None,
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        shuffle: bool,
        mixup: float = 0.0,
        versions: int = 1,
    ) -> None:
        super().__init__(batch_size, seed, shuffle=shuffle)
        self.values = tuple(values) if isinstance(values, list) else values  # tf.data would make a list one tensor
        self.labels = labels
        self.weights = weights
        self.rows = rows
        self.mixup = mixup
        self.versions = versions

    @property
    def num_examples(self) -> int:
        """Number of examples in an epoch."""
        return len(self.rows)

    @property
    def parts(self) -> tuple[Any, ...]:
        """Features, labels, and weights if there are any, of all rows."""
        return (self.values, self.labels) if self.weights is None else (self.values, self.labels, self.weights)

    @property
    def in_memory(self) -> bool:
        """Whether the features are plain arrays, not files mapped into memory."""
        return all(type(values) is np.ndarray for values in _listed(self.values))

    def order(self, epoch: int) -> np.ndarray:
        """The examples in the order of an epoch, as indices into `values` and `labels`."""
        return self.rows[super().order(epoch)] + epoch % self.versions * (len(self.labels) // self.versions)

    def batch(self, epoch: int, index: int) -> tuple[Any, ...]:
        """Batch `index` of an epoch."""
        rows = self.batch_rows(epoch, index)
        parts = tuple(keras.tree.map_structure(lambda array: np.asarray(array[rows]), self.parts))
        return mixed(parts, *mixing(self.seed, epoch, index, len(rows), self.mixup)) if self.mixup else parts

    def epoch_plan(self, epoch: int) -> tuple[np.ndarray, ...]:
        """The rows of a whole epoch in order; with MixUp also each row's partner and own share."""
        order = self.order(epoch).astype(np.int64)
        if not self.mixup:
            return (order,)
        starts = range(0, len(order), self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        drawn = [mixing(self.seed, epoch, number, len(rows), self.mixup) for number, rows in enumerate(batches)]
        partners = [rows[places] for rows, (places, _) in zip(batches, drawn, strict=True)]
        return order, np.concatenate(partners), np.concatenate([shares for _, shares in drawn])


def feature_batches(
    values: Any,
    labels: np.ndarray,
    batch_size: int,
    seed: int,
    *,
    weights: np.ndarray | None = None,
    shuffle: bool = True,
    rows: Sequence[int] | np.ndarray | None = None,
    mixup: float = 0.0,
    versions: int = 1,
) -> FeatureBatches:
    """Features in batches for `fit(..., shuffle=False)`, or faster for `EpochFitter(model).fit`.

    Args:
        values: Array with one row per example, or a list of such arrays if two tensors cross the boundary.
        labels: One label, or row of labels, per example.
        batch_size: Examples per batch; >= 1. The last batch may be smaller.
        seed: Seed of the order; >= 0.
        weights: Weight of each example in the loss. (`class_weight` of `fit` cannot be used with `EpochFitter`.)
        shuffle: Whether the order changes from epoch to epoch; if not, it is that of `rows`.
        rows: Which examples are used; all by default.
        mixup: Above 0, each example is mixed with another of its batch, features, labels and weights alike, its own
            share drawn from Beta(mixup, mixup); labels must then be numbers that can be mixed: one-hot rows for several
            classes. With weights, labels are mixed by share times weight.
        versions: How many versions of every example `values` holds, all of the first one, then all of the second one,
            and so on; each epoch takes the next.

    Raises:
        ValueError: If the lengths differ, or an argument is outside its range.

    Example:
        >>> import numpy as np
        >>> from kertl.features import feature_batches
        >>> batches = feature_batches(np.zeros((5, 3)), np.arange(5), batch_size=2, seed=0)
        >>> len(batches), [batches.batch(epoch, 0)[1].tolist() for epoch in range(2)]
        (3, [[2, 4], [1, 4]])

    Reference:
        Verma et al., "Manifold Mixup: Better Representations by Interpolating Hidden States", 2019, for MixUp of
            tensors inside a model. https://arxiv.org/abs/1806.05236
    """
    integer("batch_size", batch_size, at_least=1)
    integer("seed", seed, at_least=0)
    number("mixup", mixup, at_least=0)
    integer("versions", versions, at_least=1)
    labels = np.concatenate([labels] * versions)
    weights = None if weights is None else np.concatenate([weights] * versions)
    lengths = [len(array) for array in (*_listed(values), labels, *([] if weights is None else [weights]))]
    if len(set(lengths)) > 1:
        raise complain("values", "as many rows of features as there are labels and weights", lengths)
    chosen = np.arange(lengths[0] // versions) if rows is None else np.asarray(rows)
    return FeatureBatches(values, labels, weights, chosen, batch_size, seed, shuffle, mixup, versions)


class EpochFitter:
    """Calls `fit` of a compiled model on feature batches, and computes a whole epoch per call where that is possible.

    On the TensorFlow backend, with features in memory and one replica, `fit` sees an epoch as one batch: one compiled
    function gathers the rows and takes all steps, and callbacks for single batches are called once an epoch, with the
    epoch's metrics. Otherwise the batches are passed one by one. The steps are the same.

    One fitter serves several sets of batches, such as the folds of a cross-validation, without compiling again.

    Args:
        model: A compiled model. If it is compiled again, it needs a new fitter.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._optimizer = model.optimizer
        self._steps = _steps_function(model) if _can_loop(model) else None
        self._held: dict[int, tuple[Any, Any]] = {}

    def whole_epochs(self, batches: FeatureBatches) -> bool:
        """Whether `fit` computes an epoch of these in one call."""
        return self._steps is not None and batches.in_memory

    def fit(
        self, batches: FeatureBatches, validation: FeatureBatches | None = None, **arguments: Any
    ) -> keras.callbacks.History:
        """`model.fit` on the batches; the order of an epoch follows the number that `fit` gives it.

        Args:
            batches: Batches from `feature_batches`, to train on.
            validation: The same, without shuffling, to evaluate each epoch on; larger batches may be used.
            **arguments: Arguments of `fit`, except the data, `shuffle` and `class_weight`.

        Raises:
            ValueError: If the model was compiled again after this fitter was made.
        """
        model = self.model
        if model.optimizer is not self._optimizer:
            raise complain("model", "compiled before the EpochFitter was made, not after", model)
        callbacks = [DataEpoch(batches), *arguments.pop("callbacks", ())]
        arguments = {**arguments, "shuffle": False, "callbacks": callbacks}
        steps = self._steps if self.whole_epochs(batches) else None
        if validation is not None:
            arguments["validation_data"] = _in_order(validation) if steps and validation.in_memory else validation
        if steps is None:
            return model.fit(batches, **arguments)
        held = self._on_device(batches)
        model.train_function = lambda orders: steps(held, orders, batches.batch_size)
        try:
            return model.fit(_orders(batches), **arguments)
        finally:
            model.train_function = None  # so that Keras makes its own when it is needed

    def _on_device(self, batches: FeatureBatches) -> tuple[Any, ...]:
        """Features, labels and weights as tensors; those of the previous call are reused."""
        arrays = {id(array): array for array in keras.tree.flatten(batches.parts)}
        held = {key: self._held.get(key, (array, None)) for key, array in arrays.items()}
        self._held = {
            key: (array, keras.ops.convert_to_tensor(array) if tensor is None else tensor)
            for key, (array, tensor) in held.items()
        }
        return tuple(keras.tree.map_structure(lambda array: self._held[id(array)][1], batches.parts))


def _can_loop(model: keras.Model) -> bool:
    if keras.backend.backend() != "tensorflow" or model.run_eagerly:
        return False
    return model.distribute_strategy.num_replicas_in_sync == 1


def _steps_function(model: keras.Model) -> Any:
    """A compiled function that takes all the training steps of an epoch, given an iterator over orders of the rows."""
    import tensorflow as tf

    @tf.function(autograph=False, reduce_retracing=True)
    def steps(held: tuple[Any, ...], orders: Any, batch_size: int) -> Any:
        order, *mix = orders.get_next()

        def mixed_in(tensor: Any, own: Any, partners: Any, shares: Any) -> Any:
            share = tf.reshape(shares, [-1] + [1] * (len(tensor.shape) - 1))
            first, second = (tf.cast(tf.gather(tensor, rows), tf.float32) for rows in (own, partners))
            return share * first + (1 - share) * second

        def gathered(begin: Any) -> tuple[Any, ...]:
            """The examples of a batch: features, labels, and weights if there are any."""
            here = slice(begin, begin + batch_size)
            own = order[here]
            if not mix:
                return tuple(keras.tree.map_structure(lambda tensor: tf.gather(tensor, own), held))
            partners, shares = (part[here] for part in mix)
            values, labels, *weights = held
            by_weight = shares
            if weights:
                by_weight = label_shares(shares, tf.gather(weights[0], own), tf.gather(weights[0], partners))
            return (
                keras.tree.map_structure(lambda tensor: mixed_in(tensor, own, partners, shares), values),
                mixed_in(labels, own, partners, by_weight),
                *(mixed_in(each, own, partners, shares) for each in weights),
            )

        def step(begin: Any) -> tuple[Any]:
            model.train_step(gathered(begin))
            return (begin + batch_size,)

        first = tf.zeros((), tf.int32)
        tf.while_loop(lambda begin: begin < tf.size(order), step, [first], parallel_iterations=1)
        return model.get_metrics_result()

    return steps


def _orders(batches: FeatureBatches) -> "tf.data.Dataset":
    """The plan of one epoch, as the only element; each iteration asks for that of `batches.epoch` at that moment."""
    import tensorflow as tf

    types = [tf.int64, tf.int64, tf.float32] if batches.mixup else [tf.int64]

    def plan(_: Any) -> Any:
        parts = tf.numpy_function(lambda: batches.epoch_plan(batches.epoch), [], types)
        return tuple(tf.ensure_shape(part, (None,)) for part in parts)

    return tf.data.Dataset.range(1).map(plan)


def _in_order(batches: FeatureBatches) -> "tf.data.Dataset":
    """All examples in order, in larger batches: without training, no memory is needed for gradients."""
    import tensorflow as tf

    per_row = sum(math.prod(array.shape[1:]) for array in _listed(batches.values))
    parts = keras.tree.map_structure(lambda array: array[batches.rows], batches.parts)
    batched = tf.data.Dataset.from_tensor_slices(parts).batch(max(batches.batch_size, _JUDGED_AT_ONCE // per_row))
    return batched.cache()


def _listed(values: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) else [values]
