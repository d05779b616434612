"""The model that trains one stage: a prefix permanently in inference mode, and a suffix that trains.

Neither `trainable=False` nor `training=False` on a nested functional model keeps dropout, stochastic depth and
BatchNorm statistics still during `fit`; a layer whose own `call` passes `training=False` does.
"""

from typing import Any

import keras

from kertl.groups import find_chain
from kertl.model._boundary import cut, set_trainable
from kertl.model._info import keep_info


@keras.saving.register_keras_serializable(package="kertl")
class InferenceMode(keras.layers.Layer):
    """Runs a model in inference mode, whatever the mode of the model around it; its weights may train all the same.

    Args:
        prefix: The model to run. Its layers are shared, not copied.
    """

    def __init__(self, prefix: keras.Model, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.prefix(inputs, training=False)

    def get_config(self) -> dict[str, Any]:
        """The prefix and the layer's name."""
        return {**super().get_config(), "prefix": keras.saving.serialize_keras_object(self.prefix)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "InferenceMode":
        """The layer from what `get_config` gave."""
        prefix = keras.saving.deserialize_keras_object(config.pop("prefix"))
        return cls(prefix, **config)


@keras.saving.register_keras_serializable(package="kertl")
class FrozenPrefix(InferenceMode):
    """Runs a model in inference mode, whatever the mode of the model around it; none of its weights trains.

    Args:
        prefix: The model to run. Its layers are shared, not copied.
    """

    def __init__(self, prefix: keras.Model, **kwargs: Any) -> None:
        super().__init__(prefix, **kwargs)
        self.trainable = False


def stage_model(model: keras.Model, at: str | int, *, batch_norm: str = "frozen") -> keras.Model:
    """The model that trains a stage of transfer learning, for your own `compile` and `fit`.

    It shares the layers of `model`, so training it trains `model`; nothing has to be copied back. The layers before the
    boundary always run in inference mode: BatchNorm statistics do not move, dropout and stochastic depth are off. The
    `trainable` flags of the shared layers are set to match.

    Args:
        model: A functional or sequential model with one input and one output.
        at: The boundary, as in `kertl.split`.
        batch_norm: What the backbone's BatchNorm layers after the boundary do: "frozen" keeps them in inference mode,
            "train" trains them. BatchNorm in the head always trains.

    Returns:
        A functional model with the input and output of `model`, its task, class names and thresholds, not compiled.

    Raises:
        ValueError: If there is no such boundary, or `batch_norm` is neither of the two.

    Example:
        >>> import keras, kertl
        >>> backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> stage = kertl.stage_model(backbone, at="mid")
        >>> [layer.name for layer in stage.layers]
        ['input_images', 'frozen_prefix', 'vgg16_suffix']
    """
    chain = find_chain(model)
    first = chain.first_trained(at)
    prefix, suffix = cut(chain, first)
    set_trainable(model, chain, first, batch_norm)
    if first == 0:
        return keep_info(model, suffix)
    inputs = keras.Input(prefix.input_shape[1:], dtype=chain.graph.input_dtype, name="input_images")
    features = FrozenPrefix(prefix, name="frozen_prefix")(inputs)
    return keep_info(model, keras.Model(inputs, suffix(features), name=f"{model.name}_stage"))
