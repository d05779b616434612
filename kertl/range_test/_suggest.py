"""Which rates a curve of losses suggests, if any.

Plain functions of rates and losses. The first tenth of the steps and the last five are skipped, as in fastai.
"""

import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np

# What a fall must be to count: this many times the noise, and this share of the loss at the start.
TIMES_THE_NOISE = 5.0
SHARE_OF_START = 0.01

_LAST = 5  # steps that are skipped at the end
_FEWEST = 5  # losses that a mean is taken of


def passed_over(steps: int) -> int:
    """How many steps at the start of a test are too slow to learn anything, and show the initial loss."""
    return max(1, steps // 10)


def suggest(rates: np.ndarray, learnt: np.ndarray, losses: np.ndarray, steps: int) -> dict[str, float | None]:
    """A rate by each rule; None by all of them if the loss does not fall.

    Args:
        rates: Learning rate of each step that was made, rising.
        learnt: Loss of each step, corrected for how hard each batch is if that is known.
        losses: Loss of each step, smoothed.
        steps: Number of steps that were planned.
    """
    first = passed_over(steps)
    kept = slice(first, len(losses) - _LAST)
    window = max(first, _FEWEST)
    if len(losses) < 2 * window + _LAST or not falls(learnt[:-_LAST], window):
        return dict.fromkeys(RULES)
    scale = abs(float(np.mean(learnt[:first]))) or 1.0
    return {name: rule(rates[kept], losses[kept] / scale) for name, rule in RULES.items()}


def falls(losses: np.ndarray, window: int) -> bool:
    """Whether the lowest mean of some neighbouring losses lies below that of the first ones by more than noise.

    The noise of one loss is taken from the differences of neighbours (von Neumann, 1941), in which a slow fall does not
    show; a difference of two means then has a standard deviation of `noise * sqrt(2 / window)`.
    """
    means = np.convolve(losses, np.ones(window) / window, mode="valid")
    lowest = int(np.argmin(means))
    noise = math.sqrt(float(np.mean(np.diff(losses[: lowest + window]) ** 2)) / 2)
    least = max(SHARE_OF_START * abs(means[0]), TIMES_THE_NOISE * noise * math.sqrt(2 / window))
    return bool(means[0] - means[lowest] > least)


def steep(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """Where the loss falls fastest, per factor of the rate."""
    return float(rates[np.argmin(np.diff(losses) / np.diff(np.log(rates)))])


def valley(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """The middle of the longest fall.

    Of all sequences of ever lower losses, not necessarily neighbours, the longest is taken, the first of equals; the
    fall is as many steps as it has, up to its end. (fastai's text speaks of two thirds; its code, as this, adds a third
    and half a third.)
    """
    tails: list[float] = []  # for each length, the highest end of the sequences of that length
    best, end = 0, 0
    for place, loss in enumerate(losses):
        length = bisect_left(tails, -float(loss))
        tails[length : length + 1] = [-float(loss)]
        if length + 1 > best:
            best, end = length + 1, place
    if best < 3:  # all of it smoothed away
        return None
    third = best / 3
    return float(rates[end - best + int(third) + int(third / 2)])


def minimum(rates: np.ndarray, losses: np.ndarray) -> float | None:
    """A tenth of the rate at which the loss is lowest."""
    return float(rates[np.argmin(losses)]) / 10


def slide(rates: np.ndarray, losses: np.ndarray, window: int = 15, threshold: float = 0.005) -> float | None:
    """Where, on the way back from the end, the loss slopes the same at both ends of a window.

    Slopes are per step. fastai's threshold is in units of the loss; here of the loss at the start, which makes the
    rule the same for losses of any size.
    """
    slopes = np.gradient(losses)
    left = len(losses) - 1 - window
    if left < 0:
        return None
    while left > 0 and abs(slopes[left + window] - slopes[left]) > threshold:
        left -= 1
    return float(rates[left])


RULES: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "valley": valley,
    "steep": steep,
    "minimum": minimum,
    "slide": slide,
}
