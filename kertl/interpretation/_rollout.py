"""`attention_rollout`: which places of an image a transformer looks at."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl._keras import layers_inside
from kertl.groups import Chain, find_chain
from kertl.interpretation._grad_cam import grad_cam, tokens_read
from kertl.interpretation._maps import MOST_ALIKE, NothingToShowError, alike_when_shuffled, as_grid, to_size

_BATCH = 16
_LEAST = 1e-4
"""Difference between the places, as a share of their mean, below which all are looked at alike."""


def attention_rollout(model: keras.Model, images: np.ndarray, *, check: bool = True) -> np.ndarray:
    """How much of each place of an image reaches what the head of a transformer reads.

    The attention of each block, averaged over its heads, is averaged with the identity, for the connection that passes
    by it, and multiplied with that of the blocks before; the result is read in the rows of the tokens that the head
    uses: of the class token, or of all. It depends on the image, but not on the class, nor on what the head has learnt:
    it says where the model looks, not what speaks for its answer.

    Args:
        model: A classifier or a regression whose blocks attend with `keras.layers.MultiHeadAttention` from all tokens
            to all, such as KerasHub's ViT.
        images: Pictures of 0..255 as the model takes them, shape `(n, height, width, channels)`.
        check: Whether to compare with the same model whose weights from the first attention on are shuffled: what looks
            the same without what was learnt explains nothing.

    Returns:
        Array of shape `(n, height, width)`, from 0 at the place that is looked at least to 1 at the one that is most.

    Raises:
        ValueError: If the model has no such attention, looks at all places alike, or its maps do not depend on what was
            learnt.

    Example:
        >>> import keras, numpy as np, kertl
        >>> x = inputs = keras.Input((32, 32, 3))
        >>> x = keras.layers.Reshape((16, 8))(keras.layers.Conv2D(8, 8, strides=8)(x))
        >>> x = keras.layers.Add()([x, keras.layers.MultiHeadAttention(2, 4)(x, x)])
        >>> x = keras.layers.Dense(2, activation="softmax")(keras.layers.GlobalAveragePooling1D()(x))
        >>> images = np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3)).astype("uint8")
        >>> kertl.interpretation.attention_rollout(keras.Model(inputs, x), images, check=False).shape
        (1, 32, 32)

    Reference:
        Abnar & Zuidema, "Quantifying Attention Flow in Transformers", 2020. https://arxiv.org/abs/2005.00928
        Adebayo et al., "Sanity Checks for Saliency Maps", 2018, for the check. https://arxiv.org/abs/1810.03292
    """
    layers = _attentions(model)
    if not layers:
        accepted = "`model` must attend with keras.layers.MultiHeadAttention"
        raise NothingToShowError(f"{accepted}. Received: {model.name!r}, which does not. Use `grad_cam` instead.")
    chain = find_chain(model)
    expected = chain.graph.shapes[chain.graph.input]
    images = np.asarray(images)
    if images.ndim != 4 or not len(images) or images.shape[-1] != expected[-1]:
        raise complain("images", f"pictures of shape (n, {', '.join(map(str, expected))})", images.shape)
    tokens = _scores(model, layers, images[:1])[-1].shape[-1]
    read = tokens_read(chain, images[:1], tokens)
    if read is None or not read.any():
        raise NothingToShowError(
            f"`model` must have a head that uses some of its {tokens} tokens. Received: {model.name!r}, whose head "
            "uses none. Use `grad_cam` instead."
        )
    maps = _rolled(model, layers, images, read)
    if not any(np.ptp(one) > _LEAST * one.mean() for one in maps):
        raise NothingToShowError(
            f"`model` must look at some places more than at others. Received: {model.name!r}, whose attention is the "
            "same everywhere. Train its blocks, or use `grad_cam`."
        )
    if check:
        few = images[:_BATCH]
        alike = alike_when_shuffled(maps[:_BATCH], lambda: _rolled(model, layers, few, read), _learnt(chain, layers))
        if alike > MOST_ALIKE:
            raise NothingToShowError(
                f"`model` must attend as it has learnt. Received: {model.name!r}, whose maps have a rank correlation "
                f"of {alike:.2f} with those of shuffled weights; above {MOST_ALIKE} they do not show what was learnt. "
                "Use `grad_cam` instead."
            )
    side = images.shape[1:3]
    return np.stack([to_size(one - one.min(), (side[0], side[1])) for one in maps])


def where_it_looks(model: keras.Model, images: np.ndarray, *, check: bool = True) -> tuple[np.ndarray, str]:
    """Maps of places by what suits a model, and what they show: attention rollout for transformers, else Grad-CAM.

    Raises:
        ValueError: If neither has anything to show.
    """
    try:
        return attention_rollout(model, images, check=check), "places that the model attends to, whatever its answer"
    except NothingToShowError:
        return grad_cam(model, images, check=check), "places that speak for the prediction"


def _attentions(model: keras.Model) -> list[Any]:
    return [layer for layer in layers_inside(model) if isinstance(layer, keras.layers.MultiHeadAttention)]


def _learnt(chain: Chain, layers: Sequence[Any]) -> list[Any]:
    """The variables from the first attention on."""
    own = {id(variable) for layer in layers for variable in layer.variables}
    steps = chain.graph.steps
    first = next(number for number, step in enumerate(steps) if any(id(one) in own for one in step.variables))
    return [variable for step in steps[first:] for variable in step.variables]


def _rolled(model: keras.Model, layers: Sequence[Any], images: np.ndarray, read: np.ndarray) -> list[np.ndarray]:
    """For each image what reaches the tokens that are read, in the squares of the tokens."""
    found: list[np.ndarray] = []
    for start in range(0, len(images), _BATCH):
        flow = _flow(model, _scores(model, layers, images[start : start + _BATCH]), len(read))
        found.extend(as_grid(flow[:, read].mean(axis=1)))
    return found


def _scores(model: keras.Model, layers: Sequence[Any], images: np.ndarray) -> list[np.ndarray]:
    """The attention of each block for some images, shape `(n, heads, tokens, tokens)`."""
    with _watched(layers) as scores:
        model(keras.ops.convert_to_tensor(images.astype("float32")), training=False)
    return scores


def _flow(model: keras.Model, scores: Sequence[np.ndarray], tokens: int) -> np.ndarray:
    """How much of each token reaches each, shape `(n, tokens, tokens)`."""
    if any(one.ndim != 4 or one.shape[2:] != (tokens, tokens) for one in scores):
        shapes = ", ".join(str(one.shape[1:]) for one in scores)
        raise NothingToShowError(
            f"`model` must attend from all {tokens} tokens that its head is given to all of them, in each block. "
            f"Received: {model.name!r} with attention of shape {shapes}. Use `grad_cam` instead."
        )
    flow = np.eye(tokens)[None]
    for one in scores:
        flow = (one.mean(axis=1) + np.eye(tokens)) / 2 @ flow
    return np.asarray(flow)


@contextmanager
def _watched(layers: Sequence[Any]) -> Iterator[list[np.ndarray]]:
    """The attention of each call of some layers, shape `(n, heads, tokens, tokens)`, in the order of the calls."""
    scores: list[np.ndarray] = []

    def watch(layer: Any) -> None:
        call = layer.call

        def watching(*args: Any, return_attention_scores: bool = False, **kwargs: Any) -> Any:
            output, given = call(*args, return_attention_scores=True, **kwargs)
            scores.append(np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(given, "float32"))))
            return (output, given) if return_attention_scores else output

        layer.call = watching

    try:
        for layer in layers:
            watch(layer)
        yield scores
    finally:
        for layer in layers:
            vars(layer).pop("call", None)
