"""The new output of train.py, in plain Keras: what has to be known to widen a trained classifier by hand.

python plain_keras.py [--model runs/new_class/nine_classes.keras] [--epochs 8]
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from train import FEW, pictures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("runs/new_class/nine_classes.keras"))
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x, y = pictures()
    old, nines = np.flatnonzero(y < 9), np.flatnonzero(y == 9)
    kept, test = old[old % 4 != 0], np.concatenate([old[old % 4 == 0], nines[FEW:]])

    # The last layer has to be found, rebuilt with one more output and all its settings, and filled column by column.
    model = keras.saving.load_model(options.model, compile=False)
    last = model.layers[-1]
    wider = keras.layers.Dense.from_config({**last.get_config(), "units": last.units + 1})
    model = keras.Model(model.input, wider(model.layers[-2].output))
    kernel, bias = (weights.copy() for weights in wider.get_weights())
    kernel[:, : last.units], bias[: last.units] = last.get_weights()
    wider.set_weights([kernel, bias])
    # The class names are not in the file: that output 9 means "9" has to be recorded elsewhere.

    # Only the head trains; BatchNorm stays still because its layers are not trainable.
    for layer in model.layers[:-1]:
        layer.trainable = False
    few = np.concatenate([kept[y[kept] == digit][:FEW] for digit in range(9)] + [nines[:FEW]])
    model.compile(keras.optimizers.AdamW(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[few], y[few], epochs=2 * options.epochs, verbose=2)
    guesses = model.predict(x[test], verbose=0).argmax(axis=1)
    print(f"test accuracy {np.mean(guesses == y[test]):.4f}")


if __name__ == "__main__":
    main()
