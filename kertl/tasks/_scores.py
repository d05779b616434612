"""Small rules that the evaluation of several tasks shares."""

from collections.abc import Iterable

import numpy as np

# What the kinds of errors of a regression are called in `keras.losses`.
ERRORS = {"mse": "mean_squared_error", "mae": "mean_absolute_error", "huber": "huber"}

# A probability is cut off this far from 0 when its logarithm is taken.
_LEAST = 1e-7


def logarithms(likelihoods: np.ndarray) -> np.ndarray:
    """The negative logarithms, in nats."""
    return np.asarray(-np.log(np.clip(likelihoods, _LEAST, 1)))


def crossentropy(likelihoods: np.ndarray) -> float:
    """Their mean."""
    return float(logarithms(likelihoods).mean())


def ranking_score(name: str, truth: np.ndarray, probabilities: np.ndarray) -> float | None:
    """The score of a ranking with that name in `sklearn.metrics`; None without both positive and negative images."""
    if not 0 < np.sum(truth) < len(truth):
        return None
    from sklearn import metrics

    return float(getattr(metrics, name)(truth, probabilities))


def mean(scores: Iterable[float | None]) -> float | None:
    """The mean of those that are defined; None if none is."""
    values = [score for score in scores if score is not None]
    return float(np.mean(values)) if values else None


def by_counts(hits: np.ndarray, told: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 from counts; 0 where nothing was predicted, or nothing is there.

    Args:
        hits: How often what was predicted is true.
        told: How often it was predicted.
        true: How often it is true.
    """
    return hits / np.maximum(told, 1), hits / np.maximum(true, 1), 2 * hits / np.maximum(told + true, 1)
