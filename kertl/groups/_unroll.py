"""The transformer encoders of KerasHub as the blocks that they run, so that a boundary can fall between two.

Calling the blocks one after the other computes what the encoder computes. An encoder that is not known here stays one
layer, as does one whose outputs other than the last hidden state are used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from kertl._keras import call_of


@dataclass(frozen=True)
class BlockCall:
    """One layer inside an encoder, and what it is called with besides the hidden state."""

    layer: Any
    kwargs: dict[str, Any] = field(default_factory=dict)


@keras.saving.register_keras_serializable(package="kertl")
class FirstOutput(keras.layers.Layer):
    """The first output of a block that also gives its attention scores, or None.

    Args:
        block: The layer; it is shared, not copied.
    """

    def __init__(self, block: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(name=kwargs.pop("name", block.name), dtype=kwargs.pop("dtype", block.dtype_policy), **kwargs)
        self.block = block

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.block(inputs)[0]

    def get_config(self) -> dict[str, Any]:
        """The block and the layer's name."""
        return {**super().get_config(), "block": keras.saving.serialize_keras_object(self.block)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FirstOutput":
        """The layer from what `get_config` gave."""
        return cls(keras.saving.deserialize_keras_object(config.pop("block")), **config)


def block_calls(node: Any) -> Sequence[BlockCall]:
    """The calls that the encoder called at `node` of a graph makes; none if it is not an encoder known here."""
    kind = type(node.operation)
    unroll = _ENCODERS.get(kind.__name__) if kind.__module__.startswith("keras_hub.") else None
    return unroll(node) if unroll else ()


def _vit(node: Any) -> list[BlockCall]:
    encoder = node.operation
    return [BlockCall(layer) for layer in (encoder.dropout, *encoder.encoder_layers, encoder.layer_norm)]


def _deit(node: Any) -> list[BlockCall]:
    encoder = node.operation
    return [*(BlockCall(FirstOutput(layer)) for layer in encoder.encoder_layers), BlockCall(encoder.layer_norm)]


def _dinov2(node: Any) -> list[BlockCall]:
    return [BlockCall(layer) for layer in node.operation.layers]


def _dinov3(node: Any) -> list[BlockCall]:
    """Positions depend only on the size of the picture: they are computed once, and no tensor of theirs crosses."""
    kwargs = dict(node.arguments.kwargs)
    call = call_of(kwargs["position_embeddings"][0])
    (picture,) = call.input_tensors
    if None in picture.shape[1:]:
        return []
    kwargs["position_embeddings"] = call.operation(keras.ops.zeros((1, *picture.shape[1:])))
    return [BlockCall(layer, kwargs) for layer in node.operation.layers]


_ENCODERS: dict[str, Callable[[Any], list[BlockCall]]] = {
    "ViTEncoder": _vit,
    "DeiTEncoder": _deit,
    "DINOV2Encoder": _dinov2,
    "DINOV3Encoder": _dinov3,
}
