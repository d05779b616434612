"""Computing a model's layers in another precision for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def computing_in(model: keras.Model, precision: str) -> Iterator[None]:
    """Let the layers of `model` compute in `precision`; afterwards they have their own policies again.

    Weights stay in float32. What rescales pixels, and the last layer, go on in float32 too.
    """
    layers = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]
    kept = (keras.layers.InputLayer, keras.layers.Rescaling, keras.layers.Normalization)
    changed = [layer for layer in layers if not isinstance(layer, kept) and layer is not model.layers[-1]]
    before = [layer.dtype_policy for layer in changed]
    if precision == "float32":
        changed = []
    try:
        for layer in changed:
            layer.dtype_policy = precision
        yield
    finally:
        for layer, policy in zip(changed, before, strict=False):
            layer.dtype_policy = policy
