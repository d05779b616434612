"""Low-rank factors beside the kernels of layers, and making them part of the kernels again."""

import gc
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from kertl._keras import kernel_alone, layers_inside

_FACTORS = ("lora_kernel_a", "lora_kernel_b")


def low_rank_layers(layers: Iterable[Any]) -> list[Any]:
    """Those of some layers, and of those inside them, that can have factors: Dense, EinsumDense, 1x1 convolutions."""
    inside = {id(one): one for layer in layers for one in layers_inside(layer)}
    return [one for one in inside.values() if _can_have(one)]


def add_factors(layers: Sequence[Any], rank: int, seed: int) -> None:
    """Give layers factors: the kernel becomes `kernel + a b`, with `a` drawn and `b` zero, so nothing changes yet.

    Args:
        layers: As from `low_rank_layers`.
        rank: Columns of `a`; >= 1.
        seed: Seed that `a` is drawn from, another number for each layer; >= 0.
    """
    for number, layer in enumerate(layers):
        drawn = int(np.random.default_rng((seed, number)).integers(2**31))
        layer.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed=drawn))


def train_factors(layers: Iterable[Any]) -> None:
    """Let of all variables of some layers only the factors train."""
    found = list(layers)
    factors = {id(factor) for layer in found for one in layers_inside(layer) for factor in _factors(one)}
    for variable in (variable for layer in found for variable in layer.variables):
        variable.trainable = id(variable) in factors


def merge_factors(layers: Iterable[Any]) -> None:
    """Add the factors of layers to their kernels, in float32, and take them away."""
    gc.freeze()  # for each variable that is taken away, Keras has all memory searched for it
    try:
        for layer in layers:
            a, b = (keras.ops.convert_to_tensor(factor) for factor in _factors(layer))
            kernel = kernel_alone(layer)
            kernel.assign_add(layer.lora_alpha / layer.lora_rank * keras.ops.matmul(a, b))
            layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None
            for name in _FACTORS:
                delattr(layer, name)
    finally:
        gc.unfreeze()


def _factors(layer: Any) -> list[Any]:
    return [getattr(layer, name) for name in _FACTORS] if getattr(layer, "lora_enabled", False) else []


def _can_have(layer: Any) -> bool:
    kinds = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Conv1D, keras.layers.Conv2D)
    if not isinstance(layer, kinds) or not layer.built:
        return False
    small = all(side == 1 for side in getattr(layer, "kernel_size", ())) and getattr(layer, "groups", 1) == 1
    quantised = getattr(layer, "quantization_mode", None) is not None
    return small and layer.kernel_constraint is None and not quantised and not layer.lora_enabled
