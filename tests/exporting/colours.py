"""A classifier of colours without chance, and pictures for it."""

import functools

import keras
import numpy as np
from PIL import Image

import kertl
from tests.runs import COLOURS, NAMES, squares


@functools.cache
def by_colour():
    """A model that decides by the mean colour, whose convolutions pass each channel on at a scale of its own."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(24, 3, strides=2, padding="same", activation="relu", name="first")(x)
    x = keras.layers.Conv2D(48, 3, padding="same", activation="relu", name="second")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="predictions")(x), name="by_colour")
    scales = np.linspace(0.5, 2, 24)
    first, second, dense = np.zeros((3, 3, 3, 24)), np.zeros((3, 3, 24, 48)), np.zeros((48, 3))
    for k in range(24):
        first[:, :, k % 3, k] = scales[k] / 9
    for k in range(48):
        second[1, 1, k % 24, k] = 1 / scales[k % 24]
        dense[k] = 60 * (np.arange(3)[::-1] == k % 3) / 16 - 20 / 16  # blue, green, red
    for name, kernel in {"first": first, "second": second, "predictions": dense}.items():
        model.get_layer(name).set_weights([kernel, np.zeros(kernel.shape[-1])])
    return kertl.model.set_model_info(model, kertl.model.ModelInfo("single_label", tuple(NAMES), "none", "1"))


@functools.cache
def solved():
    """That model, and data for it."""
    return by_colour(), squares()


def photo_files(folder, per_class=12, side=32):
    """Files of noisy pictures, of a folder per colour."""
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            pixels = random.integers(90, 160, (side, side, 3), dtype="uint8")
            pixels[number : number + side // 2, 4 : 4 + side // 2] = colour
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder
