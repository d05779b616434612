"""What the end of a model tells: its last activation, its task, and the units of its targets."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras

from kertl._keras import call_of
from kertl.groups import activation_of

UNITS_LAYER = "original_units"

# What may come after the last activation without changing what the predictions are.
_PASSED_OVER = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Identity, keras.layers.Dropout)


@dataclass(frozen=True)
class OutputLayer:
    """The Dense layer that gives a model's predictions, and what comes after it.

    Attributes:
        dense: The layer.
        inputs: The symbolic tensor that it is called on, in the graph of the model that directly contains it.
        after: An activation layer of its own, or None.
    """

    dense: keras.layers.Dense
    inputs: Any
    after: keras.layers.Layer | None

    @property
    def activation(self) -> str:
        """Keras' name of the activation of the predictions."""
        return activation_of(self.after or self.dense) or "linear"


def graph_ends(model: keras.Model) -> tuple[Any, Any]:
    """Symbolic input and output of a model, single ones not in a list, since a list of one makes Keras warn."""
    inputs, outputs = list(model.inputs), list(model.outputs)
    return inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs


def output_layer(model: keras.Model) -> OutputLayer | None:
    """The Dense layer at the end of `model` or of models nested in it, with an activation layer after it or without.

    None if there is none.
    """
    after = None
    for layer, inputs in _from_the_end(model):
        if isinstance(layer, keras.layers.Dense):
            return OutputLayer(layer, inputs, after)
        if after is not None or not isinstance(layer, keras.layers.Softmax | keras.layers.Activation):
            return None
        after = layer
    return None


def target_spreads(model: keras.Model) -> list[float] | None:
    """The standard deviations by which a model built with `target_scaling` multiplies its output; else None."""
    last = next((layer for layer, _ in _from_the_end(model)), None)
    if isinstance(last, keras.layers.Rescaling) and last.name == UNITS_LAYER:
        return [float(deviation) for deviation in last.scale]
    return None


def _from_the_end(model: Any) -> Iterator[tuple[Any, Any]]:
    """The layers that a model's first output came through, the last one first, and the input of each.

    Nested models are looked into; of several inputs of a layer the first is followed.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        return
    tensor = model.outputs[0]
    while True:
        call = call_of(tensor)
        layer, given = call.operation, call.input_tensors
        if not given:
            return
        if isinstance(layer, keras.Model) and getattr(layer, "outputs", None):
            yield from _from_the_end(layer)
        else:
            yield layer, given[0]
        tensor = given[0]


def last_activation(model: keras.Model) -> str | None:
    """The activation that predictions come from; None if the last computation has none."""
    for layer, _ in _from_the_end(model):
        found = activation_of(layer)
        if found is not None and not (found == "linear" and isinstance(layer, keras.layers.Activation)):
            return found
        if found is None and not isinstance(layer, _PASSED_OVER):
            return None
    return None
