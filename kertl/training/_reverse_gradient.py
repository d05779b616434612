"""The layer of DANN: what comes after it learns to tell two domains apart, and what is before it to prevent that."""

import math
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kertl")
class ReverseGradient(keras.layers.Layer):
    """Gives its input unchanged, and the gradient with the opposite sign.

    Args:
        strength: Factor of the reversed gradient; >= 0. It is a variable, `layer.strength`, which may be assigned
            while a model trains, and is saved as the weights are.

    Example:
        >>> import numpy as np
        >>> from kertl.training import ReverseGradient
        >>> tuple(ReverseGradient(0.5)(np.ones((1, 2), "float32")).shape)
        (1, 2)

    Reference:
        Ganin et al., "Domain-Adversarial Training of Neural Networks", 2016. https://arxiv.org/abs/1505.07818
    """

    def __init__(self, strength: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._begun_with = float(strength)
        constant = keras.initializers.Constant(self._begun_with)
        self.strength = self.add_weight(shape=(), initializer=constant, trainable=False, name="strength")

    def call(self, inputs: Any) -> Any:
        """The input."""
        held = keras.ops.stop_gradient(inputs)
        scaled = keras.ops.cast(self.strength, inputs.dtype) * (held - inputs)  # 0, with a gradient
        return held + scaled

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The strength that it began with, and the layer's name."""
        return {**super().get_config(), "strength": self._begun_with}


class RisingStrength(keras.callbacks.Callback):
    """Raises the strength of a `ReverseGradient` from 0 towards 1, epoch by epoch: `2 / (1 + exp(-10 p)) - 1`.

    The classifier and the domain head learn first that way; p is the share of the epochs that are over.

    Args:
        layer: The layer.
        epochs: Number of epochs.
    """

    def __init__(self, layer: ReverseGradient, epochs: int) -> None:
        super().__init__()
        self._layer, self._epochs = layer, epochs

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the strength of the epoch."""
        share = epoch / max(self._epochs - 1, 1)
        self._layer.strength.assign(2 / (1 + math.exp(-10 * share)) - 1)
