"""Cutting a model at a boundary, and choosing what trains on either side of it.

Freezing sets `layer.trainable`; it never touches weights. A model that is already compiled has to be compiled again
before the change takes effect.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from kertl._checks import one_of
from kertl._keras import layers_inside
from kertl.groups import Chain, find_chain
from kertl.model._info import keep_info

_logger = logging.getLogger(__name__)


def split(model: keras.Model, at: str | int) -> tuple[keras.Model, keras.Model]:
    """Cut a model into a prefix and a suffix that share its layers: `suffix(prefix(x)) == model(x)`.

    Args:
        model: A functional or sequential model with one input and one output, with or without a head.
        at: Where the suffix begins. "deep": after the backbone (pooling without weights stays in the prefix; the suffix
            of a bare backbone is the identity). "mid": from the last halving of resolution on. "full": at the input;
            the prefix is then the identity. The name of a layer group: that group begins the suffix. A whole number k:
            the last k groups of `kertl.layer_groups(model)` are the suffix.

    Returns:
        `(prefix, suffix)`, both functional models. If two tensors cross, the prefix gives a list of two. The suffix has
        the task, the class names and the thresholds of the model; a prefix has no task.

    Raises:
        ValueError: If there is no such boundary; the message lists the groups.

    Example:
        >>> import keras, kertl
        >>> backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> prefix, suffix = kertl.split(backbone, at="mid")
        >>> prefix.output_shape, suffix.output_shape
        ((None, 4, 4, 512), (None, 2, 2, 512))
    """
    chain = find_chain(model)
    first = chain.first_trained(at)
    prefix, suffix = cut(chain, first)
    return prefix, keep_info(model, suffix, takes_pictures=first == 0)


def freeze(model: keras.Model, at: str | int, *, batch_norm: str = "frozen") -> None:
    """Set the `trainable` flags of `model` itself, so that only the layers after the boundary `at` train.

    The model has to be compiled again, with a new optimizer: `fit` says so if it is not. Freezing does not switch off
    the dropout and stochastic depth of the frozen layers in a plain `fit`; their number is logged.
    `kertl.stage_model` does switch them off.

    Args:
        model: A functional or sequential model with one input and one output.
        at: The boundary, as in `kertl.split`.
        batch_norm: "frozen" keeps the backbone's BatchNorm layers in inference mode, even where the rest trains.
            "train" lets those after the boundary train. BatchNorm in the head always trains.

    Raises:
        ValueError: If there is no such boundary, or `batch_norm` is neither of the two.

    Example:
        >>> import keras, kertl
        >>> model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> kertl.freeze(model, "block5")
        >>> [variable.path for variable in model.trainable_variables][:2]
        ['block5_conv1/kernel', 'block5_conv1/bias']

    Reference:
        keras.io, "Transfer learning & fine-tuning". https://keras.io/guides/transfer_learning/
    """
    chain = find_chain(model)
    first = chain.first_trained(at)
    set_trainable(model, chain, first, batch_norm)
    model.compiled = False
    active = sum(getattr(layer, "seed_generator", None) is not None for layer in _leaves(chain, 0, first))
    if active:
        _logger.info(
            "%d dropout or stochastic-depth layers of the frozen part stay active in a plain `fit`; "
            "`kertl.stage_model(model, at=%r)` switches them off.",
            active,
            at,
        )


def cut(chain: Chain, first: int) -> tuple[keras.Model, keras.Model]:
    """The prefix before group `first`, and the suffix from it on."""
    prefix = chain.piece(0, first, name=f"{chain.model_name}_prefix")
    suffix = chain.piece(first, len(chain.groups), name=f"{chain.model_name}_suffix")
    return prefix, suffix


def set_trainable(model: keras.Model, chain: Chain, first: int, batch_norm: str) -> None:
    """Let exactly the groups from `first` on train, without the backbone's BatchNorm unless asked."""
    _set_trainable(model, True)
    train_groups(chain, first, batch_norm)


def train_groups(chain: Chain, first: int, batch_norm: str) -> None:
    """The same for the layers of a chain, whatever the flags of the models around them."""
    one_of("batch_norm", batch_norm, ("frozen", "train"))
    for trains, layers in ((False, chain.layers(0, first)), (True, chain.layers(first, len(chain.groups)))):
        for layer in layers:
            _set_trainable(layer, trains)
    if batch_norm == "frozen":
        for layer in _leaves(chain, first, len(chain.backbone_groups)):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False


@contextmanager
def flags_kept(model: keras.Model) -> Iterator[None]:
    """Restore the model's `trainable` flags afterwards.

    What was compiled meanwhile is dropped, see `drop_compiled`.
    """
    layers = layers_inside(model)
    flags = [layer.trainable for layer in layers]
    try:
        yield
    finally:
        for layer, flag in zip(layers, flags, strict=True):
            layer.trainable = flag
        drop_compiled(model)


def drop_compiled(model: Any) -> None:
    """Have Keras compile a model anew, where it matters: on several devices of JAX.

    There the division into variables that train and that do not is built in; with another one the function fails, and
    only after the weights were given up to it.
    """
    if keras.backend.backend() == "jax" and keras.distribution.distribution() is not None:
        model.train_function = model.test_function = model.predict_function = None


def _set_trainable(layer: Any, value: bool) -> None:
    """Set the flag of a layer and of all inside it.

    Under TensorFlow, setting an attribute to its present value does nothing, so `trainable = True` on a model that is
    already trainable would leave the frozen layers inside it frozen.
    """
    layer.trainable = not value
    layer.trainable = value


def _leaves(chain: Chain, first: int, stop: int) -> list[Any]:
    """The layers of some groups and those inside them."""
    return [leaf for layer in chain.layers(first, stop) for leaf in layers_inside(layer)]
