"""Computing a model's layers in another precision for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from kertl._keras import layers_inside


@contextmanager
def computing_in(model: keras.Model, precision: str) -> Iterator[None]:
    """Let the layers of `model` compute in `precision`; their own policies are restored afterwards.

    Weights stay in float32. The layers that rescale pixels, the last layer with weights and all after it also compute
    in float32.
    """
    last = max((place for place, layer in enumerate(model.layers) if layer.weights), default=0)
    layers = [layer for layer in layers_inside(model) if not isinstance(layer, keras.Model)]
    kept = (keras.layers.InputLayer, keras.layers.Rescaling, keras.layers.Normalization)
    changed = [layer for layer in layers if not isinstance(layer, kept) and layer not in model.layers[last:]]
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
