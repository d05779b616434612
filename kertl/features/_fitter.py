"""A `fit` on features that runs a whole epoch per call."""

import copy
import functools
import math
from typing import TYPE_CHECKING, Any, Protocol

import keras

from kertl._checks import complain
from kertl._keras import build_symbolically
from kertl.callbacks import DataEpoch
from kertl.data import label_shares
from kertl.features._batches import FeatureBatches, listed
from kertl.hardware import fits_on_device, on_accelerator

if TYPE_CHECKING:
    import tensorflow as tf

# Numbers in a batch that is only evaluated, not trained on: four megabytes.
_JUDGED_AT_ONCE = 2**20


class EpochFitter:
    """Calls `fit` of a compiled model on feature batches, and computes a whole epoch per call where that is possible.

    On TensorFlow and JAX, with features in memory and one replica, `fit` sees an epoch as one batch: one compiled
    function gathers the rows and takes all steps, and callbacks for single batches are called once an epoch, with the
    epoch's metrics. Otherwise the batches are passed one by one; on JAX so are feature maps on a CPU, and features that
    are more than a quarter of an accelerator's memory. The steps are the same.

    One fitter serves several sets of batches, such as the folds of a cross-validation, without compiling again.

    Args:
        model: A compiled model. If it is compiled again, it needs a new fitter.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._optimizer = model.optimizer
        self._loop = _loop(model)
        self._held: dict[int, tuple[Any, Any]] = {}

    def whole_epochs(self, batches: FeatureBatches) -> bool:
        """Whether `fit` computes an epoch of these in one call."""
        return self._loop is not None and batches.in_memory and self._loop.takes(batches)

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
        loop = self._loop if self.whole_epochs(batches) else None
        if validation is not None:
            arguments["validation_data"] = loop.judged(validation) if loop and validation.in_memory else validation
        if loop is None:
            return model.fit(batches, **arguments)
        model.train_function = loop.train_function(batches, self._on_device(batches))
        try:
            return model.fit(loop.orders(batches), **arguments)
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


class _Loop(Protocol):
    """All training steps of an epoch in one compiled function of a backend."""

    def takes(self, batches: FeatureBatches) -> bool:
        """Whether these features can be looped over."""

    def train_function(self, batches: FeatureBatches, held: tuple[Any, ...]) -> Any:
        """What `fit` calls once an epoch, with its plan, instead of a step for each batch."""

    def orders(self, batches: FeatureBatches) -> Any:
        """The plan of one epoch, as the only element; each iteration asks for that of `batches.epoch` then."""

    def judged(self, batches: FeatureBatches) -> Any:
        """All examples in order, in larger batches: without training, no memory is needed for gradients."""


def _loop(model: keras.Model) -> _Loop | None:
    """The loop for a compiled model; None if its steps have to be taken one by one."""
    if model.run_eagerly:
        return None
    if keras.backend.backend() == "tensorflow":
        return _TensorFlow(model) if model.distribute_strategy.num_replicas_in_sync == 1 else None
    if keras.backend.backend() == "jax":
        return _Jax(model) if keras.distribution.distribution() is None else None
    return None


class _TensorFlow:
    """A loop in a graph."""

    def __init__(self, model: keras.Model) -> None:
        import tensorflow as tf

        @tf.function(autograph=False, reduce_retracing=True)
        def steps(held: tuple[Any, ...], orders: Any, batch_size: int) -> Any:
            plan = orders.get_next()

            def step(begin: Any) -> tuple[Any]:
                model.train_step(_gathered(held, *(part[begin : begin + batch_size] for part in plan)))
                return (begin + batch_size,)

            first = tf.zeros((), tf.int32)
            tf.while_loop(lambda begin: begin < tf.size(plan[0]), step, [first], parallel_iterations=1)
            return model.get_metrics_result()

        self._steps = steps

    def takes(self, batches: FeatureBatches) -> bool:
        return True

    def train_function(self, batches: FeatureBatches, held: tuple[Any, ...]) -> Any:
        return lambda orders: self._steps(held, orders, batches.batch_size)

    def orders(self, batches: FeatureBatches) -> "tf.data.Dataset":
        import tensorflow as tf

        types = [tf.int64, tf.int64, tf.float32] if batches.mixup else [tf.int64]

        def plan(_: Any) -> Any:
            parts = tf.numpy_function(lambda: batches.epoch_plan(batches.epoch), [], types)
            return tuple(tf.ensure_shape(part, (None,)) for part in parts)

        return tf.data.Dataset.range(1).map(plan)

    def judged(self, batches: FeatureBatches) -> "tf.data.Dataset":
        import tensorflow as tf

        parts = keras.tree.map_structure(lambda array: array[batches.rows], batches.parts)
        return tf.data.Dataset.from_tensor_slices(parts).batch(_judged_at_once(batches)).cache()


class _Jax:
    """A scan over the batches, and the last, smaller one."""

    def __init__(self, model: keras.Model) -> None:
        import jax

        @functools.partial(jax.jit, donate_argnums=0, static_argnums=3)
        def steps(state: Any, held: tuple[Any, ...], plan: tuple[Any, ...], batch_size: int) -> Any:
            whole = len(plan[0]) // batch_size * batch_size

            def step(state: Any, rows: tuple[Any, ...]) -> tuple[Any, None]:
                return model.train_step(state, _gathered(held, *rows))[1], None

            if whole:
                state, _ = jax.lax.scan(step, state, tuple(part[:whole].reshape(-1, batch_size) for part in plan))
            if whole < len(plan[0]):
                state, _ = step(state, tuple(part[whole:] for part in plan))
            with keras.StatelessScope(state_mapping=list(zip(model.metrics_variables, state[3], strict=True))):
                return model.get_metrics_result(), state

        self._model, self._steps = model, steps

    def takes(self, batches: FeatureBatches) -> bool:
        if on_accelerator():
            return fits_on_device(batches.nbytes)
        # In a loop on a CPU, XLA took ten times as long for convolutions as outside.
        return all(len(array.shape) == 2 for array in listed(batches.values))

    def train_function(self, batches: FeatureBatches, held: tuple[Any, ...]) -> Any:
        build_symbolically(self._model, batches.batch(0, 0))  # by a batch: what `fit` is given is none
        return lambda state, orders: self._steps(state, held, next(orders), batches.batch_size)

    def orders(self, batches: FeatureBatches) -> keras.utils.PyDataset:
        return _Plans(batches)

    def judged(self, batches: FeatureBatches) -> FeatureBatches:
        larger = copy.copy(batches)
        larger.batch_size = _judged_at_once(batches)
        return larger


class _Plans(keras.utils.PyDataset):
    """The plan of an epoch as its only batch."""

    def __init__(self, batches: FeatureBatches) -> None:
        super().__init__()
        self._batches = batches

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self._batches.epoch_plan(self._batches.epoch)


def _gathered(held: tuple[Any, ...], own: Any, partners: Any = None, shares: Any = None) -> tuple[Any, ...]:
    """The examples of a batch: features, labels, and weights if there are any; mixed, if partners are given.

    Args:
        held: Features, labels and weights of all rows.
        own: The rows of the examples.
        partners: The rows of those that they are mixed with.
        shares: The own share of each example.
    """

    def rows(tensor: Any, chosen: Any) -> Any:
        return keras.ops.take(tensor, chosen, axis=0)

    def mixed(tensor: Any, shares: Any) -> Any:
        share = keras.ops.reshape(shares, [-1] + [1] * (len(tensor.shape) - 1))
        first, second = (keras.ops.cast(rows(tensor, chosen), "float32") for chosen in (own, partners))
        return share * first + (1 - share) * second

    if partners is None:
        return tuple(keras.tree.map_structure(lambda tensor: rows(tensor, own), held))
    values, labels, *weights = held
    by_weight = shares
    if weights:
        by_weight = label_shares(shares, rows(weights[0], own), rows(weights[0], partners))
    return (
        keras.tree.map_structure(lambda tensor: mixed(tensor, shares), values),
        mixed(labels, by_weight),
        *(mixed(each, shares) for each in weights),
    )


def _judged_at_once(batches: FeatureBatches) -> int:
    """How many examples are evaluated at once."""
    per_row = sum(math.prod(array.shape[1:]) for array in listed(batches.values))
    return max(batches.batch_size, _JUDGED_AT_ONCE // per_row)
