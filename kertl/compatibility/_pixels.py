"""Whether the pixels that a network is given are those that it was trained on."""

import keras
import numpy as np

from kertl.groups import Chain, replay

_FAINT = 10  # times the epsilon of a BatchNorm; a channel with less variance was constant in training


def untrained(model: keras.Model) -> bool:
    """Whether a model is as it was drawn: every bias, and the statistics of every BatchNorm, still at its start."""
    starts = {"bias": 0, "beta": 0, "moving_mean": 0, "moving_variance": 1}
    told = [(variable, starts[variable.name]) for variable in model.weights if variable.name in starts]
    return bool(told) and all((keras.ops.convert_to_numpy(variable) == start).all() for variable, start in told)


def times_as_wide(chain: Chain, images: np.ndarray) -> float | None:
    """How many times as wide as in its training the values in front of a network's first BatchNorm are.

    The median over channels of the ratio of standard deviations; None for a network that has no BatchNorm after its
    first convolution, or was not trained.

    Args:
        chain: The chain of a model.
        images: Some images as the model takes them, shape `(n, height, width, channels)`.
    """
    steps = chain.graph.steps
    norms = [at for at, step in enumerate(steps) if isinstance(step.operation, keras.layers.BatchNormalization)]
    kernels = [at for at, step in enumerate(steps) if any(len(variable.shape) > 1 for variable in step.variables)]
    first = norms[0] if norms else 0
    norm = steps[first].operation
    if sum(at < first for at in kernels) != 1 or not norm.center or norm.axis not in (-1, 3):
        return None
    learnt = keras.ops.convert_to_numpy(norm.moving_variance)
    if np.ptp(learnt) == 0:
        return None
    (ref,) = steps[first].inputs
    inputs = keras.Input(images.shape[1:], dtype=chain.graph.input_dtype)
    entry = keras.Model(inputs, replay(steps[:first], {chain.graph.input: inputs}, [ref])[0])
    values = keras.ops.convert_to_numpy(entry(images.astype("float32"), training=False)).reshape(-1, len(learnt))
    alive = learnt > _FAINT * norm.epsilon
    if not alive.any():
        return None
    return float(np.sqrt(np.median(values.var(axis=0)[alive] / learnt[alive])))
