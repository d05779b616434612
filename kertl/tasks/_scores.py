"""Small rules that the evaluation of several tasks shares."""

from collections.abc import Callable, Iterable

import numpy as np

# A probability is cut off this far from 0 when its logarithm is taken.
_LEAST = 1e-7


def logarithms(likelihoods: np.ndarray) -> np.ndarray:
    """The negative logarithms, in nats."""
    return np.asarray(-np.log(np.clip(likelihoods, _LEAST, 1)))


def crossentropy(likelihoods: np.ndarray) -> float:
    """Their mean."""
    return float(logarithms(likelihoods).mean())


def defined(score: Callable[..., float], truth: np.ndarray, probabilities: np.ndarray) -> float | None:
    """A score of a ranking, if there are positive and negative images; else None."""
    return float(score(truth, probabilities)) if 0 < np.sum(truth) < len(truth) else None


def mean(scores: Iterable[float | None]) -> float | None:
    """The mean of those that are defined; None if none is."""
    values = [score for score in scores if score is not None]
    return float(np.mean(values)) if values else None
