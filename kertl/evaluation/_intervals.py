"""How certain metrics are: 95 % intervals over the images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kertl.tasks import Task, mean_interval

_RESAMPLES = 1_000
_MOST_ROWS = 2_000_000  # drawn in all; of many images, fewer resamples show as much
_LEVEL = 0.95


def intervals_of(
    task: Task, truth: np.ndarray, predictions: np.ndarray, names: Sequence[str], thresholds: np.ndarray
) -> dict[str, list[float]]:
    """The 95 % interval of each metric but those of rankings: of a share of the images Wilson's, else by bootstrap.

    The bootstrap takes percentiles over sets of as many images, drawn with replacement. A metric that is undefined for
    some of these sets has the interval of the others; one that is the same for all of them, such as the balanced
    accuracy of a few images that are all predicted correctly, has none, as they cannot say how certain it is.

    Args:
        task: What judges.
        truth: The labels.
        predictions: The predictions, a row per image.
        names: The classes or targets.
        thresholds: One per output.

    Reference:
        Efron & Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    count = len(truth)
    random = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {}
    for _ in range(max(200, min(_RESAMPLES, _MOST_ROWS // count))):
        rows = random.integers(count, size=count)
        judged: dict[str, Any] = task.judge(truth[rows], predictions[rows], names, thresholds, quick=True)
        for name, value in judged.items():
            if isinstance(value, float) and name != "majority":  # which says nothing of the predictions
                drawn.setdefault(name, []).append(value)
    tail = 100 * (1 - _LEVEL) / 2
    ends = {name: np.percentile(values, [tail, 100 - tail]).tolist() for name, values in drawn.items()}
    shares = {name: list(mean_interval(one)) for name, one in task.shares(truth, predictions, thresholds).items()}
    return {name: [low, high] for name, (low, high) in (ends | shares).items() if low < high}
