"""The second half of train.py, in plain Keras: a trained backbone with a new head for other classes.

python plain_keras.py [--model runs/own_model/theirs.keras] [--epochs 8]
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from train import FEW, pictures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("runs/own_model/theirs.keras"))
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    x, y = pictures()
    high = np.flatnonzero(y >= 5)
    few = np.concatenate([high[y[high] == digit][:FEW] for digit in range(5, 10)])
    test = np.setdiff1d(high, few)

    # One has to print a summary to see where the classifier begins: here it is the last layer, and pooling before it.
    theirs = keras.saving.load_model(options.model, compile=False)
    backbone = keras.Model(theirs.input, theirs.layers[-3].output)
    backbone.trainable = False
    inputs = keras.Input((32, 32, 3))
    # Called as a part of another model, BatchNorm stays still only because its layers are not trainable.
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    answers = keras.layers.Dense(5, activation="softmax")(keras.layers.Dropout(0.3)(pooled))
    model = keras.Model(inputs, answers)
    model.compile(keras.optimizers.AdamW(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[few], y[few] - 5, epochs=3 * options.epochs, batch_size=8, verbose=2)
    guesses = model.predict(x[test], verbose=0).argmax(axis=1) + 5
    print(f"test accuracy {np.mean(guesses == y[test]):.4f}")


if __name__ == "__main__":
    main()
