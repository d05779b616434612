"""AdaBN: the statistics of BatchNorm layers measured anew on the images of the target."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kertl._checks import complain, named
from kertl.data import ImageDataset, data_errors
from kertl.groups import Chain, copied, find_chain, replay

_BATCH = 64
_MOST = 2_048
"""Images by which statistics are measured; more of them change nothing that can be seen."""
_PRIOR_IMAGES = 16
"""How many images the statistics of the source count as, so that a small target does not decide alone."""


class Statistics:
    """Mean and variance by channel of what enters a BatchNorm layer, summed up batch by batch."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, mean: np.ndarray, variance: np.ndarray, count: int) -> None:
        """Add a batch, by its mean and variance and the number of values of each channel."""
        self._count += count
        self._sum = self._sum + mean.astype(np.float64) * count
        self._squares = self._squares + (variance.astype(np.float64) + mean.astype(np.float64) ** 2) * count

    @property
    def mean(self) -> np.ndarray:
        """Mean of each channel."""
        return np.asarray(self._sum / self._count)

    @property
    def variance(self) -> np.ndarray:
        """Variance of each channel."""
        return np.asarray(np.maximum(self._squares / self._count - self.mean**2, 0))


def adapted_batch_norm(
    model: keras.Model,
    target: ImageDataset,
    source: ImageDataset | None = None,
    *,
    method: str = "adabn",
    seed: int = 0,
) -> keras.Model:
    """A copy of a model whose BatchNorm layers have statistics of the target.

    With images of the source the change is relative: what a channel has in the target is brought to what it has in the
    source, whatever statistics the layer holds. In a backbone that was frozen while the head was trained these are
    those of its pretraining, which are neither the source's nor the target's. Without them, the layer's statistics are
    taken for the source's, which is AdaBN as published and right where BatchNorm was trained along.

    Args:
        model: A functional model; it is not changed.
        target: Images of the target; 2,048 at most are read.
        source: Images of the source.
        method: What it is done for, for messages.
        seed: Seed of the order; >= 0.

    Returns:
        A model of new layers, flat, not compiled.

    Raises:
        ValueError: If it has no BatchNorm layers that can be reached.

    References:
        Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation", 2016.
            https://arxiv.org/abs/1603.04779
        Schneider et al., "Improving robustness against common corruptions by covariate shift adaptation", 2020, for
            counting the source as some images. https://arxiv.org/abs/2006.16971
    """
    chain = find_chain(model)
    if not batch_norms(chain):
        advice = "Take another method: 'align' does the same for the features at the end."
        raise complain(
            "method", "one that the model has layers for", method, f"{named(model)} has no BatchNorm. {advice}"
        )
    before = {} if source is None else _measured(chain, source, seed)
    chain = copied(chain, 0)
    layers = batch_norms(chain)
    known = {id(layer): found for layer, found in zip(layers, before.values(), strict=bool(before))}
    for layer, (mean, variance) in _matched(chain, target, known, seed).items():
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(variance.astype(np.float32))
    return chain.at_shape(chain.graph.shapes[chain.graph.input], name=model.name)


def batch_norms(chain: Chain) -> list[Any]:
    """The BatchNorm layers of a chain, in the order in which they run."""
    layers = chain.layers(0, len(chain.groups))
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def _measured(chain: Chain, images: ImageDataset, seed: int) -> dict[int, Statistics]:
    """What enters each BatchNorm layer as the model is, by the `id` of the layer, in their order."""
    found = {id(layer): Statistics() for layer in batch_norms(chain)}

    def normalise(layer: Any, x: Any) -> Any:
        found[id(layer)].add(*_moments(layer, x))
        return layer(x, training=False)

    _run(chain, images, normalise, seed)
    return found


def _matched(
    chain: Chain, images: ImageDataset, before: dict[int, Statistics], seed: int
) -> dict[Any, tuple[np.ndarray, np.ndarray]]:
    """The mean and variance that each BatchNorm layer should hold for the target.

    Each layer sees what the layers before it give when they are matched, by the statistics of the batch.
    """
    found = {layer: Statistics() for layer in batch_norms(chain)}
    weight = _PRIOR_IMAGES / (_PRIOR_IMAGES + images.num_examples)

    def held(layer: Any, mean: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own, spread = (np.asarray(keras.ops.convert_to_numpy(one), np.float64) for one in _own(layer))
        source = before.get(id(layer))
        usual, usual_variance = (own, spread) if source is None else (source.mean, source.variance)
        mean = weight * usual + (1 - weight) * mean
        variance = weight * usual_variance + (1 - weight) * variance
        ratio = (variance + layer.epsilon) / (usual_variance + layer.epsilon)
        return mean - (usual - own) * np.sqrt(ratio), np.maximum((spread + layer.epsilon) * ratio - layer.epsilon, 0)

    def normalise(layer: Any, x: Any) -> Any:
        mean, variance, count = _moments(layer, x)
        found[layer].add(mean, variance, count)
        return _normalised(layer, x, *held(layer, mean, variance))

    _run(chain, images, normalise, seed)
    return {layer: held(layer, one.mean, one.variance) for layer, one in found.items()}


def _own(layer: Any) -> tuple[Any, Any]:
    return layer.moving_mean, layer.moving_variance


def _moments(layer: Any, x: Any) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and variance of each channel of a batch, and the number of values of each."""
    axes = [axis for axis in range(len(x.shape)) if axis != layer.axis % len(x.shape)]
    mean, variance = (keras.ops.convert_to_numpy(one) for one in keras.ops.moments(x, axes))
    return mean, variance, int(np.prod([x.shape[axis] for axis in axes]))


def _normalised(layer: Any, x: Any, mean: np.ndarray, variance: np.ndarray) -> Any:
    """What the layer would give with these statistics."""
    kept = [np.asarray(keras.ops.convert_to_numpy(one)) for one in _own(layer)]
    try:
        layer.moving_mean.assign(mean.astype(np.float32))
        layer.moving_variance.assign(variance.astype(np.float32))
        return layer(x, training=False)
    finally:
        layer.moving_mean.assign(kept[0])
        layer.moving_variance.assign(kept[1])


def _run(chain: Chain, images: ImageDataset, normalise: Callable[[Any, Any], Any], seed: int) -> None:
    """Run the model on images in a random order, its BatchNorm layers by `normalise`, the others in inference mode."""

    def call(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if isinstance(operation, keras.layers.BatchNormalization):
            return normalise(operation, args[0])
        return operation(*args, **kwargs)

    for batch in _batches(images, seed):
        given = keras.ops.convert_to_tensor(batch.astype(chain.graph.input_dtype))
        replay(chain.graph.steps, {chain.graph.input: given}, [chain.graph.output], call)


def _batches(images: ImageDataset, seed: int) -> Iterator[np.ndarray]:
    """Batches of about equal size, since a batch of one has no statistics."""
    order = np.random.default_rng(seed).permutation(images.num_examples)[:_MOST]
    with data_errors(images):
        for rows in np.array_split(order, -(-len(order) // _BATCH)):
            yield images.reader.take(rows)
