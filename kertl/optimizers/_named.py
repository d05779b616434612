"""Optimizers by the names that a recipe gives them."""

from collections.abc import Iterable
from typing import Any

import keras

from kertl._checks import number, one_of

_MAKERS: dict[str, Any] = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": lambda **options: keras.optimizers.SGD(momentum=0.9, **options),
    "sgd_nesterov": lambda **options: keras.optimizers.SGD(momentum=0.9, nesterov=True, **options),
    "rmsprop": keras.optimizers.RMSprop,
    "lion": keras.optimizers.Lion,
    "muon": keras.optimizers.Muon,
}


def optimizer_named(
    name: str, learning_rate: Any, variables: Iterable[Any], *, weight_decay: float = 0.0, ema: float = 0.0
) -> keras.optimizers.Optimizer:
    """A new optimizer, built for `variables`.

    Args:
        name: "adamw", "adam", "sgd" or "sgd_nesterov" (momentum 0.9), "rmsprop", "lion", or "muon" (which trains
            everything but matrices by AdamW).
        learning_rate: A number > 0 or a schedule.
        variables: The variables to train. Those with fewer than two axes (biases, BatchNorm) do not decay.
        weight_decay: Decoupled from the loss; >= 0.
        ema: Share of an average of the weights that each step keeps; 0 keeps no average; 0 <= ema < 1.

    Raises:
        ValueError: If the name is none of these, or a number is out of range.
    """
    number("weight_decay", weight_decay, at_least=0)
    variables = list(variables)
    optimizer = unbuilt(name, learning_rate, ema=ema)
    set_weight_decay(optimizer, weight_decay)
    if weight_decay:
        optimizer.exclude_from_weight_decay(var_list=[variable for variable in variables if not decays(variable)])
    optimizer.build(variables)
    return optimizer


def unbuilt(name: str, learning_rate: Any, *, ema: float = 0.0) -> keras.optimizers.Optimizer:
    """A new optimizer by name, with the weight decay that Keras gives it."""
    one_of("optimizer", name, _MAKERS)
    number("ema", ema, at_least=0, below=1)
    average = {"use_ema": True, "ema_momentum": ema} if ema else {}
    return _MAKERS[name](learning_rate=learning_rate, **average)


def set_weight_decay(optimizer: keras.optimizers.Optimizer, weight_decay: float) -> None:
    """Give all variables of an optimizer the same decay; Muon has a separate one for those that AdamW trains."""
    optimizer.weight_decay = float(weight_decay)
    if hasattr(optimizer, "adam_weight_decay"):
        optimizer.adam_weight_decay = float(weight_decay)


def decays(variable: Any) -> bool:
    """Whether weight decay is for this variable: not for biases and normalisation, which have one axis."""
    return len(variable.shape) >= 2
