"""What the end of a model says: its last activation, its task, and the units of its targets."""

from dataclasses import dataclass
from typing import Any

import keras

from kertl.model._info import model_info

UNITS_LAYER = "original_units"


@dataclass(frozen=True)
class OutputLayer:
    """The Dense layer that gives a model's answers, and what comes after it.

    Attributes:
        dense: The layer.
        inputs: The symbolic tensor that it is called on.
        after: An activation layer of its own, or None.
    """

    dense: keras.layers.Dense
    inputs: Any
    after: keras.layers.Layer | None

    @property
    def activation(self) -> str:
        """Keras' name of the activation of the answers."""
        if isinstance(self.after, keras.layers.Softmax):
            return "softmax"
        function = (self.after or self.dense).activation
        return str(getattr(function, "__name__", type(function).__name__))


def graph_ends(model: keras.Model) -> tuple[Any, Any]:
    """Symbolic input and output of a model, a lone one by itself: a list of one makes Keras warn when it is called."""
    inputs, outputs = list(model.inputs), list(model.outputs)
    return inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs


def output_layer(model: keras.Model) -> OutputLayer | None:
    """The Dense layer at the end of `model`, with an activation layer behind it or without; None if there is none."""
    if not isinstance(model, keras.Model) or not getattr(model, "outputs", None):
        return None
    layer, inputs = _maker(model.outputs[0])
    after = None
    if isinstance(layer, keras.layers.Softmax | keras.layers.Activation):
        after = layer
        layer, inputs = _maker(inputs)
    return OutputLayer(layer, inputs, after) if isinstance(layer, keras.layers.Dense) else None


def task_of(model: keras.Model) -> str:
    """The task of a model: what `kertl.build` noted, else what its last activation says, else "single_label".

    Raises:
        ValueError: If the model was not built by kertl and ends without an activation, which may mean a regression or
            a classifier that gives logits.
    """
    info = model_info(model)
    if info is not None:
        return info.task
    last = output_layer(model)
    if last is None or last.activation == "softmax":
        return "single_label"
    if last.activation == "sigmoid":
        return "binary" if last.dense.units == 1 else "multi_label"
    raise ValueError(
        f"The task of {model.name!r} cannot be told: kertl has not built it, and its last activation is "
        f"{last.activation!r}. A classifier must end in softmax (one class of several) or sigmoid."
    )


def target_spreads(model: keras.Model) -> list[float] | None:
    """The standard deviations by which a model built with `target_scaling` multiplies what it computes; else None."""
    last = model.layers[-1]
    if isinstance(last, keras.layers.Rescaling) and last.name == UNITS_LAYER:
        return [float(spread) for spread in last.scale]
    return None


def _maker(tensor: Any) -> tuple[Any, Any]:
    """The layer that gave a symbolic tensor, and what it was given."""
    layer, node_index, _ = tensor._keras_history
    inputs = layer._inbound_nodes[node_index].input_tensors
    return layer, inputs[0] if inputs else None
