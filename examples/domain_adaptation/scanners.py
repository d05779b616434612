"""Two scanners: the digits of scikit-learn as scanner A gives them, and others as scanner B does."""

import keras
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

NAMES = [str(digit) for digit in range(10)]


def two_scanners() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Pictures of 32 by 32 and their labels: 1,000 of scanner A, and 797 others of scanner B.

    B has less contrast, a grey background, blur and noise.
    """
    digits = load_digits()
    x = np.rint(digits.images * 255 / 16).repeat(4, axis=1).repeat(4, axis=2)
    order = np.random.default_rng(0).permutation(len(x))
    a, b = order[:1000], order[1000:]
    noise = np.random.default_rng(1).normal(0, 10, x[b].shape)
    seen = gaussian_filter(x[b], sigma=(0, 1.5, 1.5)) * 0.5 + 70 + noise
    return (as_pictures(x[a]), digits.target[a]), (as_pictures(np.clip(seen, 0, 255)), digits.target[b])


def as_pictures(x: np.ndarray) -> np.ndarray:
    """Grey levels as bytes in three channels."""
    return x.astype("uint8")[..., None].repeat(3, axis=-1)


def small_backbone() -> keras.Model:
    """A small network with random weights."""
    layers = [keras.Input((32, 32, 3)), keras.layers.Rescaling(1 / 127.5, -1)]
    for filters in (16, 32, 64):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    return keras.Sequential(layers, name="small")
