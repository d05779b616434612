"""A step on a batch that does not fit into memory: in parts, one after the other, whose gradients are added up.

The optimizer sees one gradient for the whole batch, so steps, schedule and checkpoints stay as they are. What looks at
a whole batch at once, such as BatchNorm that trains, sees the parts.
"""

from collections.abc import Callable
from typing import Any

import keras

from kertl._keras import after_batch, layers_inside, loss_tracker
from kertl.hardware import replicas
from kertl.recipe import Stage

BACKENDS = ("tensorflow", "jax")
"""Where a batch can be computed in parts."""


def in_parts(model: keras.Model, part_size: int) -> keras.Model:
    """The same model as one whose training step takes a batch in parts; shares all layers.

    Args:
        model: A functional model, not compiled, for one device.
        part_size: Images, or rows of features, that are computed at once; >= 1. The last part may be smaller.
    """
    kinds: dict[str, Any] = {"tensorflow": _TensorFlowParts, "jax": _JaxParts}
    inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]
    divided = kinds[keras.backend.backend()](inputs, model.output, name=model.name)
    divided.part_size = part_size
    return divided


def undivided_reason(model: keras.Model, stage: Stage) -> str | None:
    """Why the batches of a model cannot be computed in parts in a stage; None if they can."""
    if keras.backend.backend() not in BACKENDS:
        return f"the {keras.backend.backend()} backend has no step in parts"
    if stage.quantize:
        return f"with quantize={stage.quantize!r} ranges of activations are observed batch by batch"
    strategy = getattr(model, "distribute_strategy", None)
    several = strategy is not None and strategy.num_replicas_in_sync > 1
    several = several or replicas() > 1 or keras.distribution.distribution() is not None
    return "the batch is spread over several devices" if several else None


def normalising(model: keras.Model) -> list[str]:
    """The names of the BatchNorm layers that train in a model, and so see the parts of a batch alone."""
    layers = [layer for layer in layers_inside(model) if isinstance(layer, keras.layers.BatchNormalization)]
    return list(dict.fromkeys(layer.name for layer in layers if layer.trainable))


class _TensorFlowParts(keras.Model):
    """A model whose training step is a loop over parts of the batch, on TensorFlow."""

    part_size: int

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of the optimizer on one batch."""
        import tensorflow as tf

        trained = self.trainable_weights
        connected: set[int] = set()
        count = tf.shape(keras.tree.flatten(data)[0])[0]

        def part(begin: Any, *sums: Any) -> tuple[Any, ...]:
            end = tf.minimum(begin + self.part_size, count)
            x, y, weight = keras.utils.unpack_x_y_sample_weight(_slices(data, lambda tensor: tensor[begin:end]))
            with tf.GradientTape() as tape:
                said = self(x, training=True)
                loss = self.compute_loss(x=x, y=y, y_pred=said, sample_weight=weight, training=True)
                loss_tracker(self).update_state(loss, sample_weight=end - begin)
                scaled = self.optimizer.scale_loss(loss)
            self.compute_metrics(x, y, said, sample_weight=weight)
            share = tf.cast((end - begin) / count, tf.float32)
            gradients = tape.gradient(scaled, trained)
            connected.update(place for place, gradient in enumerate(gradients) if gradient is not None)
            return end, *(
                total if gradient is None else total + tf.cast(share, total.dtype) * tf.convert_to_tensor(gradient)
                for total, gradient in zip(sums, gradients, strict=True)
            )

        begin = (tf.zeros((), tf.int32), *(tf.zeros_like(variable.value) for variable in trained))
        _, *sums = tf.while_loop(lambda at, *_: at < count, part, begin, parallel_iterations=1)
        gradients = [total if place in connected else None for place, total in enumerate(sums)]
        self.optimizer.apply_gradients(zip(gradients, trained, strict=True))
        return self.get_metrics_result()


class _JaxParts(keras.Model):
    """A model whose training step is a scan over parts of the batch, on JAX."""

    part_size: int

    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """One step of the optimizer on one batch, as a function of the state."""
        import jax

        trained, others, optimizer, metrics = state
        count = keras.tree.flatten(data)[0].shape[0]
        whole = count // self.part_size
        gradient_of = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)

        def part(carried: Any, given: Any) -> tuple[Any, None]:
            others, metrics, sums = carried
            x, y, weight = keras.utils.unpack_x_y_sample_weight(given)
            (_, (loss, said, others, metrics)), gradients = gradient_of(
                trained, others, metrics, x, y, weight, training=True, optimizer_variables=optimizer
            )
            metrics = after_batch(self, metrics, loss, x, y, said, weight)
            share = keras.tree.flatten(given)[0].shape[0] / count
            return (others, metrics, jax.tree.map(lambda a, b: a + share * b, sums, gradients)), None

        carried = (others, metrics, jax.tree.map(jax.numpy.zeros_like, trained))
        if whole:
            stacked = _slices(
                data, lambda array: array[: whole * self.part_size].reshape(whole, self.part_size, *array.shape[1:])
            )
            carried, _ = jax.lax.scan(part, carried, stacked)
        if count % self.part_size:
            carried, _ = part(carried, _slices(data, lambda array: array[whole * self.part_size :]))
        others, metrics, sums = carried
        trained, optimizer = self.optimizer.stateless_apply(optimizer, sums, trained)
        with keras.StatelessScope(state_mapping=list(zip(self.metrics_variables, metrics, strict=True))):
            logs = self.get_metrics_result()
        return logs, (trained, others, optimizer, metrics)


def _slices(data: Any, cut: Callable[[Any], Any]) -> Any:
    return keras.tree.map_structure(lambda value: None if value is None else cut(value), data)
