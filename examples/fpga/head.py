"""A quantised head on these features, as C++ for an FPGA, and its C simulation with g++.

    python head.py

HGQ2 learns how many bits each weight and activation has; hls4ml writes the C++. The simulation must say of 300 rows of
the test set what the Keras model says, bit by bit. Needs an environment of its own, see README.md.
"""

import hls4ml
import keras
import numpy as np
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense
from hgq.utils import trace_minmax

ROWS = 300


def quantised_head(inputs, classes):
    """Two layers whose numbers of bits are learnt; `beta0` is the price of a bit."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=1e-6),
    ):
        return keras.Sequential([keras.Input((inputs,)), QDense(16, activation="relu"), QDense(classes)])


def main():
    keras.utils.set_random_seed(0)
    data = np.load("features.npz")
    train, labels, test, truth = (data[name] for name in ("train_x", "train_y", "test_x", "test_y"))
    model = quantised_head(train.shape[1], int(labels.max()) + 1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(train, labels, epochs=30, batch_size=64, verbose=0)
    trace_minmax(model, train)
    said = np.asarray(model.predict(test, verbose=0))
    circuit = hls4ml.converters.convert_from_keras_model(
        model, output_dir="circuit", project_name="head", backend="Vitis", io_type="io_parallel"
    )
    circuit.compile()
    rows = np.ascontiguousarray(test[:ROWS])
    simulated = circuit.predict(rows).reshape(len(rows), -1)
    same = simulated == said[:ROWS]
    print(f"accuracy {(said.argmax(1) == truth).mean():.4f} on {len(truth)} test images")
    print(f"C simulation: {same.all(axis=1).sum()} of {len(rows)} rows bit by bit the same")
    if not same.all():
        raise SystemExit(f"largest difference {np.abs(simulated - said[:ROWS]).max()}")


if __name__ == "__main__":
    main()
