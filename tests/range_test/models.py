"""A small model that has everything a range test could disturb, and what is compared before and after."""

import random

import keras
import numpy as np

from tests.runs import values


def examples(count=96, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 8)).astype("float32")
    return x, (x[:, :3].sum(1) > 0).astype("int32")


def network(dtype=None):
    """BatchNorm, dropout, a frozen layer."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    x = keras.layers.Dense(16, activation="relu", trainable=False, dtype=dtype)(inputs)
    x = keras.layers.BatchNormalization(dtype=dtype)(x)
    x = keras.layers.Dropout(0.2, dtype=dtype)(x)
    x = keras.layers.Dense(16, activation="relu", dtype=dtype)(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax", dtype="float32")(x), name="network")


def compiled(optimizer, **options):
    model = network(options.pop("dtype", None))
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **options}
    model.compile(optimizer, **options)
    return model


def trained(optimizer, **options):
    """Compiled, with moments, a step count and filled metrics."""
    model = compiled(optimizer, **options)
    model.fit(*examples(), batch_size=16, verbose=0)
    return model


def state(model):
    """All that must be as before."""
    return {
        "variables": values(model.variables),
        "metrics": values(model.metrics_variables),
        "optimizer": values(model.optimizer.variables),
        "rate": float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)),
        "schedule": model.optimizer.get_config().get("learning_rate"),
        "objects": [getattr(model, name, None) for name in ("optimizer", "history", "stop_training", "train_function")],
        "flags": [layer.trainable for layer in model._flatten_layers()],
        "python": random.getstate(),
        "numpy": [np.asarray(part).tolist() for part in np.random.get_state()],  # noqa: NPY002
    }


def assert_same(model, before):
    after = state(model)
    for name in ("variables", "metrics", "optimizer"):
        assert len(after[name]) == len(before[name]), name
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(after[name], before[name], strict=True)), name
    for name in before.keys() - {"variables", "metrics", "optimizer"}:
        assert after[name] == before[name], name
