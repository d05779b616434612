"""A new class for a trained classifier: it knows the digits 0 to 8 and has to learn 9 from thirty pictures.

python train.py [--epochs 8] [--out runs/new_class]
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

import kertl

KNOWN = [str(digit) for digit in range(9)]
FEW = 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("runs/new_class"))
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x, y = pictures()
    nines = np.flatnonzero(y == 9)

    # The existing classifier: nine classes, trained on all their pictures except those held out for the test.
    old = np.flatnonzero(y < 9)
    kept, test = old[old % 4 != 0], np.concatenate([old[old % 4 == 0], nines[FEW:]])
    before = kertl.build(small_backbone(), class_names=KNOWN)
    data = kertl.data.from_arrays(x[kept], y[kept], class_names=KNOWN, test=0)
    stage = kertl.Stage("full", epochs=options.epochs, learning_rate=5e-3, batch_norm="train", augment="none")
    before = kertl.fine_tune(before, data, recipe=kertl.Recipe(stages=[stage]), verbose=2).model
    kertl.save(before, options.out / "nine_classes.keras")

    # One more output. What the nine have learnt is kept bit for bit; the column for "9" is still random.
    after = kertl.extend_classes(kertl.load(options.out / "nine_classes.keras"), ["9"])
    names = kertl.model.model_info(after).class_names

    # The thirty new pictures and as many of each known class. With so few, the head is solved instead of trained, and
    # in the end once more on training and validation images together.
    few = np.concatenate([kept[y[kept] == digit][:FEW] for digit in range(9)] + [nines[:FEW]])
    data = kertl.data.from_arrays(x[few], y[few], class_names=names, test=0)
    recipe = kertl.Recipe(stages=[kertl.Stage("deep", solver="exact")], refit=True)
    after = kertl.fine_tune(after, data, recipe=recipe, verbose=2).model
    kertl.save(after, options.out / "ten_classes.keras")

    guesses = kertl.predict(after, dataset(x[test])).argmax(axis=1)
    known = y[test] < 9
    had = kertl.predict(before, dataset(x[test][known])).argmax(axis=1)
    print(f"0 to 8 before: accuracy {np.mean(had == y[test][known]):.4f}")
    print(f"0 to 8 after:  accuracy {np.mean(guesses[known] == y[test][known]):.4f}")
    print(f"the new 9:     accuracy {np.mean(guesses[~known] == 9):.4f}")
    print(f"test accuracy {np.mean(guesses == y[test]):.4f}")


def pictures() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn as pictures of 32 by 32 and 0..255, and their labels."""
    digits = load_digits()
    x = np.rint(digits.images * 255 / 16).astype("uint8")[..., None].repeat(3, axis=-1)
    return x.repeat(4, axis=1).repeat(4, axis=2), digits.target


def dataset(x: np.ndarray) -> kertl.data.ImageDataset:
    """Pictures to predict on; the labels are not used."""
    return kertl.data.from_arrays(x, np.zeros(len(x), int), validation=0, test=0).train


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


if __name__ == "__main__":
    main()
