"""One plain model for the mean of what a model predicts with several sets of weights."""

from collections.abc import Sequence

import keras
import numpy as np

from kertl.groups import copied, find_chain
from kertl.model._info import keep_info

_SHARED, _MEMBER = "shared", "member"


def averaged(
    model: keras.Model,
    members: Sequence[Sequence[np.ndarray]],
    shares: Sequence[float],
    *,
    first: int = 0,
    mirrored: bool = False,
) -> keras.Model:
    """A functional model of Keras' own layers whose predictions are a weighted mean.

    The layers before the boundary are in it once. `model` keeps its weights, and shares no layer with the result.

    Args:
        model: The model; the mean of its predictions must be one, such as that of probabilities.
        members: Several values of `model.weights`, which differ only from layer group `first` on.
        shares: The share of each of them; >= 0, their sum is 1.
        first: Number of the first layer group in which they differ.
        mirrored: Whether the mirror image of each picture is predicted too, and counts half.

    Example:
        >>> import keras, numpy as np
        >>> from kertl.model import averaged
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> members = [[np.full((2, 1), value), np.zeros(1)] for value in (1.0, 3.0)]
        >>> float(averaged(model, members, [0.25, 0.75]).predict(np.ones((1, 2)), verbose=0)[0, 0])
        5.0
    """
    before = model.get_weights()
    try:
        chain, parts = find_chain(model), []
        for number, values in enumerate(members, start=1):
            model.set_weights(values)
            own = copied(chain, first, ending=f"_{number}")
            parts.append(own.piece(first, len(own.groups), f"{_MEMBER}_{number}"))
        front = copied(chain, 0).piece(0, first, _SHARED) if first else None
    finally:
        model.set_weights(before)
    inputs = keras.Input(chain.graph.shapes[chain.graph.input], dtype=chain.graph.input_dtype, name="images")
    seen = [inputs, keras.ops.flip(inputs, axis=2)] if mirrored else [inputs]
    said = []
    for pictures in seen:
        features = pictures if front is None else front(pictures)
        said += [
            keras.layers.Rescaling(share / len(seen), dtype="float32")(part(features))
            for part, share in zip(parts, shares, strict=True)
        ]
    mean = keras.layers.Add(dtype="float32", name="mean")(said) if len(said) > 1 else said[0]
    return keep_info(model, keras.Model(inputs, mean, name=model.name))


def give_member(averaged: keras.Model, number: int, model: keras.Model, *, first: int) -> None:
    """Give `model` the weights that a member of what `averaged` made has; members are counted from 0."""
    chain = find_chain(model)
    if first:
        chain.piece(0, first, _SHARED).set_weights(averaged.get_layer(_SHARED).get_weights())
    part = chain.piece(first, len(chain.groups), _MEMBER)
    part.set_weights(averaged.get_layer(f"{_MEMBER}_{number + 1}").get_weights())
