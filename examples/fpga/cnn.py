"""A small quantised CNN on photos of 16 x 16 pixels, as C++ for an FPGA, and its C simulation with g++.

    python cnn.py

As head.py, with two convolutions instead of a frozen backbone: the whole classifier is in the C++. The photos are so
small that it shows how, and not how well. Needs an environment of its own, see README.md.
"""

import circuit
import keras
import numpy as np
from hgq.layers import QConv2D, QDense


def cnn(side, classes):
    """Two convolutions and a layer of classes."""
    return keras.Sequential(
        [
            keras.Input((side, side, 1)),
            QConv2D(4, 3, strides=2, activation="relu"),
            QConv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            QDense(classes),
        ]
    )


def main():
    keras.utils.set_random_seed(0)
    data = np.load("features.npz")
    train, labels, test, truth = (data[name] for name in ("train_small", "train_y", "test_small", "test_y"))
    model = circuit.few_bits(lambda: cnn(train.shape[1], int(labels.max()) + 1))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(train, labels, epochs=40, batch_size=64, verbose=0)
    circuit.simulate(model, "cnn", train, test, truth)


if __name__ == "__main__":
    main()
