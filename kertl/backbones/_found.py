"""What every kind of source gives: a model without its top, and the preprocessing it needs."""

from dataclasses import dataclass
from typing import Any

import keras

from kertl._checks import complain, pair, whole_numbers

InputShape = tuple[int, int, int]


@dataclass(frozen=True)
class Found:
    """A model without its top.

    Attributes:
        model: Features from preprocessed pictures; the model is nested whole in the backbone.
        preprocessing: The preprocessing that the model needs, in the words of `preprocess`, or a layer that does it.
        name: Name of the backbone.
        shape: `(height, width, channels)` of the pictures, where the model itself may leave them open.
    """

    model: keras.Model
    preprocessing: str | keras.layers.Layer
    name: str
    shape: InputShape


def let_all_train(model: keras.Model) -> None:
    """Reset the `trainable` flags of a model and of all in it, which files store."""
    model.trainable = False  # under TensorFlow, setting True on a model that is already True skips its layers
    model.trainable = True


def check_input_shape(shape: Any) -> InputShape | None:
    """`shape` as a tuple, if it is that of pictures, or None."""
    if shape is None:
        return None
    sides = whole_numbers(shape, 3)
    if sides is None or min(sides) < 1:
        raise complain("input_shape", "(height, width, channels), three whole numbers >= 1", shape)
    height, width, channels = sides
    return *pair("input_shape[:2]", (height, width)), channels
