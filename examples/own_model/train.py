"""A model that somebody else trained, for its own classes and for others.

A classifier of the digits 0 to 4, saved by plain Keras, is trained further on the same digits from a bad camera; then
its backbone is used for the digits 5 to 9, with only a few pictures of each.

python train.py [--epochs 8] [--out runs/own_model]
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import kertl

FEW = 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("runs/own_model"))
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x, y = pictures()
    low, high = np.flatnonzero(y < 5), np.flatnonzero(y >= 5)
    options.out.mkdir(parents=True, exist_ok=True)
    theirs = options.out / "theirs.keras"
    train_theirs(x[low[::2]], y[low[::2]], options.epochs, theirs)

    # 1. The same classes, other pictures: their whole classifier is trained further, including its head.
    model = kertl.load(theirs)
    data = kertl.data.from_arrays(
        bad_camera(x[low[1::2]]), y[low[1::2]], class_names=["0", "1", "2", "3", "4"], test=0.5
    )
    print(f"theirs as it came: accuracy {kertl.evaluate(model, data.test)['accuracy']:.4f}")
    recipe = kertl.Recipe(stages=[stage("full", 2 * options.epochs, 1e-3)])
    run = kertl.fine_tune(model, data, recipe=recipe, run_dir=options.out / "same_classes", verbose=2)
    print(f"trained further:   accuracy {run.metrics['test']['accuracy']:.4f}")

    # 2. Other classes, few pictures: their backbone, and a new head, which alone is trained, on all of them.
    names = ["5", "6", "7", "8", "9"]
    few = np.concatenate([high[y[high] == digit][:FEW] for digit in range(5, 10)])
    data = kertl.data.from_arrays(x[few], y[few] - 5, class_names=names, validation=0, test=0, batch_size=8)
    rest = np.setdiff1d(high, few)
    test = kertl.data.from_arrays(x[rest], y[rest] - 5, class_names=names, validation=0, test=0).train
    scores = {}
    for name, backbone in (("theirs", kertl.load_backbone(theirs)), ("random", kertl.load_backbone(network()))):
        keras.utils.set_random_seed(0)
        model = kertl.build(backbone, class_names=names)
        recipe = kertl.Recipe(stages=[stage("deep", 3 * options.epochs, 1e-2)])
        run = kertl.fine_tune(model, data, recipe=recipe, run_dir=options.out / name, verbose=0)
        scores[name] = kertl.evaluate(run.model, test)["accuracy"]
        print(f"a new head on a backbone that is {name}: accuracy {scores[name]:.4f}")
    print(f"test accuracy {scores['theirs']:.4f}")


def stage(at: str, epochs: int, rate: float) -> kertl.Stage:
    """A stage without augmentation: a mirrored digit is another."""
    return kertl.Stage(at, epochs=epochs, learning_rate=rate, augment="none")


def train_theirs(x: np.ndarray, y: np.ndarray, epochs: int, path: Path) -> None:
    """What somebody else did, in plain Keras."""
    backbone = network()
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(5, activation="softmax")(pooled), name="theirs")
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, verbose=2)
    model.save(path)


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn as pictures of 32 by 32 and 0..255, and their labels."""
    digits = load_digits()
    x = np.rint(digits.images * 255 / 16).astype("uint8")[..., None].repeat(3, axis=-1)
    return x.repeat(4, axis=1).repeat(4, axis=2), digits.target


def bad_camera(x: np.ndarray) -> np.ndarray:
    """Dark, noisy pictures."""
    noise = np.random.default_rng(0).normal(60, 15, x.shape)
    return np.clip(x * 0.4 + noise, 0, 255).astype("uint8")


def network() -> keras.Model:
    """A small network with random weights."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    for filters in (16, 32, 64):
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        x = keras.layers.MaxPooling2D()(keras.layers.ReLU()(x))
    return keras.Model(inputs, x, name="network")


if __name__ == "__main__":
    main()
