"""The pictures, and the network that was trained on them without labels."""

from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

INITIAL_BACKBONE = Path("runs/kerastuner_search/backbone.keras")
Part = tuple[np.ndarray, np.ndarray]


def pictures() -> Part:
    """The digits of scikit-learn as pictures of 32 by 32 and 0..255, and their labels."""
    digits = load_digits()
    x = np.rint(digits.images * 255 / 16).astype("uint8")[..., None].repeat(3, axis=-1)
    return x.repeat(4, axis=1).repeat(4, axis=2), digits.target


def parts(x: np.ndarray, y: np.ndarray) -> tuple[Part, Part, Part]:
    """Training, validation and test set: 1,000, 300 and the rest, in an order drawn once."""
    order = np.random.default_rng(0).permutation(len(y))
    train, validation, test = np.split(order, [1000, 1300])
    return (x[train], y[train]), (x[validation], y[validation]), (x[test], y[test])


def train_backbone(epochs: int = 3) -> None:
    """A small network that predicts by how much a digit is rotated, for which no labels are needed."""
    keras.utils.set_random_seed(0)
    x = pictures()[0]
    turned = np.concatenate([np.rot90(x, quarters, axes=(1, 2)) for quarters in range(4)])
    y = np.repeat(np.arange(4), len(x))
    inputs = keras.Input((32, 32, 3))
    z = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    for filters in (16, 32, 64):
        z = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(z)
        z = keras.layers.BatchNormalization(momentum=0.9)(z)
        z = keras.layers.MaxPooling2D()(keras.layers.ReLU()(z))
    backbone = keras.Model(inputs, z, name="turns")
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(pooled))
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(turned, y, epochs=epochs, verbose=0)
    INITIAL_BACKBONE.parent.mkdir(parents=True, exist_ok=True)
    backbone.save(INITIAL_BACKBONE)
