"""A Keras model with learnt numbers of bits as C++, and its C simulation with g++."""

import hls4ml
import numpy as np
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.utils import trace_minmax

ROWS = 300


def few_bits(layers):
    """What `layers` makes, with layers of HGQ2 that learn how many bits each weight and activation has."""
    with (
        QuantizerConfigScope(place="all", default_q_type="kbi", overflow_mode="SAT_SYM"),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP"),
        LayerConfigScope(enable_ebops=True, beta0=1e-6),  # `beta0` is the price of a bit
    ):
        return layers()


def simulate(model, name, train, test, truth):
    """Write the C++ of a trained model into a folder, simulate it, and say how many rows are the model's, bit by bit.

    Raises:
        SystemExit: If a row is not.
    """
    trace_minmax(model, train)
    said = np.asarray(model.predict(test, verbose=0))
    circuit = hls4ml.converters.convert_from_keras_model(
        model, output_dir=f"circuit_{name}", project_name=name, backend="Vitis", io_type="io_parallel"
    )
    circuit.compile()
    rows = np.ascontiguousarray(test[:ROWS])
    simulated = circuit.predict(rows).reshape(len(rows), -1)
    same = simulated == said[:ROWS]
    print(f"{name}: accuracy {(said.argmax(1) == truth).mean():.4f} on {len(truth)} test images")
    print(f"C simulation: {same.all(axis=1).sum()} of {len(rows)} rows bit by bit the same")
    if not same.all():
        raise SystemExit(f"largest difference {np.abs(simulated - said[:ROWS]).max()}")
