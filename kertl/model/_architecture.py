"""What a model is made of, as text that is the same in every process."""

import json
from typing import Any

import keras

from kertl._keras import layers_inside

_NOT_COMPARED = ("name", "trainable")  # automatic names are numbered per process; flags change with the stage


def architecture(model: keras.Model) -> str:
    """The layers of a model, one in a line, with their settings and the shapes of their weights, as JSON.

    Args:
        model: A built model; of nested models the layers are listed.

    Example:
        >>> import keras
        >>> from kertl.model import architecture
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> '"layer": "Dense", "weights": [[4, 2], [2]]' in architecture(model)
        True
    """
    lines = [_line(layer) for layer in layers_inside(model) if not isinstance(layer, keras.Model)]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _line(layer: keras.layers.Layer) -> str:
    try:
        config = layer_config(layer)
    except NotImplementedError:  # a custom layer that cannot be saved either
        config = {}
    settings = {name: value for name, value in config.items() if name not in _NOT_COMPARED}
    shapes = [list(weight.shape) for weight in layer.weights]
    return json.dumps({"layer": type(layer).__name__, "weights": shapes, **settings}, default=str)


def layer_config(layer: Any) -> dict[str, Any]:
    """The settings of a layer or operation; where its `get_config` fails, its attributes.

    The patch embedding of KerasHub's Swin fails so: Keras calls `get_config` of a class among its arguments.

    Raises:
        NotImplementedError: If its class has no `get_config`.
    """
    try:
        return dict(layer.get_config())
    except TypeError:
        common = vars(keras.layers.Layer())
        held = {name: value for name, value in vars(layer).items() if name not in common and name[:6] != "_self_"}
        return {name: _described(value) for name, value in held.items()}


def _described(value: Any) -> Any:
    if isinstance(value, keras.layers.Layer):
        return [type(value).__qualname__, layer_config(value)]
    return value.__qualname__ if isinstance(value, type) else value
