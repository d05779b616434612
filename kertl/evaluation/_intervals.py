"""How certain metrics are: bootstrap intervals over the images."""

from collections.abc import Callable
from typing import Any

import numpy as np

_RESAMPLES = 1_000
_MOST_ROWS = 2_000_000  # drawn in all; of many images, fewer resamples show as much
_LEVEL = 0.95


def bootstrap(
    judge: Callable[[np.ndarray, np.ndarray], dict[str, Any]], truth: np.ndarray, predictions: np.ndarray
) -> dict[str, list[float]]:
    """The 95 % interval of each metric: percentiles over sets of as many images, drawn with replacement.

    Metrics that are undefined for some of these sets have the interval of the others.

    Args:
        judge: What makes metrics of labels and predictions.
        truth: The labels.
        predictions: The predictions, a row per image.

    Reference:
        Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    count = len(truth)
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for _ in range(max(200, min(_RESAMPLES, _MOST_ROWS // count))):
        rows = random.integers(count, size=count)
        for name, value in judge(truth[rows], predictions[rows]).items():
            if isinstance(value, float):
                found.setdefault(name, []).append(value)
    tail = 100 * (1 - _LEVEL) / 2
    return {name: np.percentile(values, [tail, 100 - tail]).tolist() for name, values in found.items()}
