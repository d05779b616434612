"""A quantised head on these features, as C++ for an FPGA, and its C simulation with g++.

    python head.py

HGQ2 learns how many bits each weight and activation has; hls4ml writes the C++. The simulation must say of 300 rows of
the test set what the Keras model says, bit by bit. Needs an environment of its own, see README.md.
"""

import circuit
import keras
import numpy as np
from hgq.layers import QDense


def main():
    keras.utils.set_random_seed(0)
    data = np.load("features.npz")
    train, labels, test, truth = (data[name] for name in ("train_x", "train_y", "test_x", "test_y"))
    inputs, classes = train.shape[1], int(labels.max()) + 1
    model = circuit.few_bits(
        lambda: keras.Sequential([keras.Input((inputs,)), QDense(16, activation="relu"), QDense(classes)])
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(train, labels, epochs=30, batch_size=64, verbose=0)
    circuit.simulate(model, "head", train, test, truth)


if __name__ == "__main__":
    main()
