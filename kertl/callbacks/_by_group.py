"""Weights, their changes and learning rates by layer group, on every backend."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kertl.groups import LayerGroup, find_chain

Measured = dict[str, float]
"""A number for each group."""


def layers_by_group(model: keras.Model, groups: Sequence[LayerGroup] | None = None) -> dict[str, tuple[Any, ...]]:
    """The layers and operations of each group by its name, in their order.

    Args:
        model: The model.
        groups: Its groups if they are known. None finds them; a model that is no chain has a group for each of its
            layers.
    """
    if groups is None:
        try:
            groups = find_chain(model).groups
        except (TypeError, ValueError):  # subclassed, or with several inputs
            return {layer.name: (layer,) for layer in model.layers}
    return {group.name: group.layers for group in groups}


def trained_by_group(model: keras.Model, layers: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The variables that train, by group; those of no group go under the name of the model."""
    left = {id(variable): variable for variable in model.trainable_variables}
    found: dict[str, list[Any]] = {}
    for name, members in layers.items():
        own = [v for layer in members if isinstance(layer, keras.layers.Layer) for v in layer.trainable_variables]
        found[name] = [left.pop(id(variable)) for variable in own if id(variable) in left]
    found[model.name] = [*found.get(model.name, ()), *left.values()]
    return {name: variables for name, variables in found.items() if variables}


def values_by_group(variables: Mapping[str, Sequence[Any]]) -> dict[str, list[np.ndarray]]:
    """Copies of their present values."""
    return {
        name: [np.array(keras.ops.convert_to_numpy(variable)) for variable in own] for name, own in variables.items()
    }


def norms(values: Mapping[str, Sequence[np.ndarray]]) -> Measured:
    """The Euclidean norm over all arrays of each group."""
    return {
        name: float(
            np.sqrt(sum(float(np.vdot(flat, flat)) for flat in (one.astype(np.float32).ravel() for one in own)))
        )
        for name, own in values.items()
    }


def change_ratios(before: Mapping[str, Sequence[np.ndarray]], after: Mapping[str, Sequence[np.ndarray]]) -> Measured:
    """The norm of the change of each group's weights over the norm that they had; groups without weights are left out.

    About 1e-3 in one step is usual: far less learns slowly, far more forgets.

    Reference:
        Karpathy, "CS231n: Learning", 2017, "Ratio of weights:updates". https://cs231n.github.io/neural-networks-3/
    """
    moved = {name: [a - b for a, b in zip(after[name], own, strict=True)] for name, own in before.items()}
    sizes = norms(before)
    return {name: change / sizes[name] for name, change in norms(moved).items() if sizes[name] > 0}


def rates(optimizer: Any, names: Sequence[str]) -> Measured:
    """The present learning rate of each group; none where the optimizer has no single one."""
    inner, rate = getattr(optimizer, "inner_optimizer", optimizer), present_rate(optimizer)
    multipliers: Mapping[str, float] = getattr(inner, "group_multipliers", None) or dict.fromkeys(names, 1.0)
    return {} if rate is None else {name: rate * multiplier for name, multiplier in multipliers.items()}


def present_rate(optimizer: Any) -> float | None:
    """The present learning rate of an optimizer; None if it has no single one."""
    try:
        return float(keras.ops.convert_to_numpy(getattr(optimizer, "inner_optimizer", optimizer).learning_rate))
    except (AttributeError, TypeError, ValueError):
        return None
