"""What runs a prefix: Keras on any backend, or OpenVINO on a CPU.

An engine only takes batches of one shape and type; it begins a batch with `run` and may finish it as late as `fetch`.
"""

from typing import Any, Protocol

import keras
import numpy as np


class Engine(Protocol):
    """Runs a prefix, in inference mode."""

    name: str

    def send(self, batch: np.ndarray) -> Any:
        """Move a batch to the device; called ahead of time, in another thread."""

    def run(self, batch: Any) -> Any:
        """Begin to compute a batch that was sent."""

    def fetch(self, outputs: Any) -> list[np.ndarray]:
        """Wait for the tensors that cross the boundary, and take them off the device."""


def keras_engine(prefix: keras.Model, shape: tuple[int, ...], dtype: Any) -> Engine:
    """The compiled forward pass of a prefix on the backend of the process.

    Args:
        prefix: The model.
        shape: Shape of every batch.
        dtype: Type of every batch; it becomes the model's own on the device.
    """
    if keras.backend.backend() == "tensorflow":
        return TensorFlowEngine(prefix, shape, dtype)
    if keras.backend.backend() == "jax":
        return _Jax(prefix, shape, dtype)
    return _Plain(prefix)


class _Plain:
    """Calls the prefix, operation by operation."""

    name = "keras"

    def __init__(self, prefix: keras.Model) -> None:
        self.prefix = prefix

    def send(self, batch: np.ndarray) -> Any:
        return keras.ops.convert_to_tensor(batch)

    def run(self, batch: Any) -> Any:
        if keras.backend.backend() == "torch":
            import torch

            with torch.no_grad():
                return self._forward(batch)
        return self._forward(batch)

    def fetch(self, outputs: Any) -> list[np.ndarray]:
        return [np.asarray(keras.ops.convert_to_numpy(output)) for output in keras.tree.flatten(outputs)]

    def _forward(self, batch: Any) -> Any:
        return self.prefix(keras.ops.cast(batch, self.prefix.inputs[0].dtype), training=False)


class TensorFlowEngine(_Plain):
    """One compiled function; without XLA, which on a CPU is slower by an order of magnitude."""

    def __init__(self, prefix: keras.Model, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__(prefix)
        import tensorflow as tf

        signature = [tf.TensorSpec(shape, dtype, name="images")]
        self.compiled = tf.function(self._forward, input_signature=signature, jit_compile=False)
        self.compiled.get_concrete_function()  # traced now, in the precision that the layers have now

    def run(self, batch: Any) -> Any:
        return self.compiled(batch)


class _Jax(_Plain):
    """One compiled function of the batch and the weights, which are arguments and stay on the device.

    The arrays are asked for anew each time: a training in between gives up those that the variables had.
    """

    def __init__(self, prefix: keras.Model, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__(prefix)
        import jax

        self._variables = (prefix.trainable_variables, prefix.non_trainable_variables)

        def forward(weights: Any, images: Any) -> Any:
            images = keras.ops.cast(images, prefix.inputs[0].dtype)
            return prefix.stateless_call(*weights, images, training=False)[0]

        # Compiled now, in the precision that the layers have now.
        self._compiled = jax.jit(forward).lower(self._weights(), jax.ShapeDtypeStruct(shape, dtype)).compile()

    def send(self, batch: np.ndarray) -> Any:
        import jax

        return jax.device_put(batch)

    def run(self, batch: Any) -> Any:
        return self._compiled(self._weights(), batch)

    def _weights(self) -> tuple[list[Any], ...]:
        return tuple([variable.value for variable in variables] for variables in self._variables)
