"""How uncertain a metric on a sample of images is: 95 % intervals."""

import math

import numpy as np

_Z = 1.959964  # the 97.5 % quantile of the normal distribution


def mean_interval(scores: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of one score per image.

    Wilson's interval if every score is 0 or 1, else the normal approximation.

    Args:
        scores: Shape `(images,)`, at least one.

    Example:
        >>> import numpy as np
        >>> [round(end, 3) for end in mean_interval(np.array([1] * 90 + [0] * 10))]
        [0.826, 0.945]

    Reference:
        Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
    """
    count, mean = len(scores), float(np.mean(scores))
    if not _are_counts(scores):
        half = _Z * float(np.std(scores)) / math.sqrt(count)
        return mean - half, mean + half
    middle = (mean + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(mean * (1 - mean) / count + _Z**2 / (4 * count**2))
    # At the ends rounding would leave them an ulp away.
    return 0.0 if mean == 0 else middle - half, 1.0 if mean == 1 else middle + half


def change_interval(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean change of a score, both measured on the same images.

    That of `matched_interval` if every score is 0 or 1, else the normal approximation.

    Args:
        before: Shape `(images,)`, at least one.
        after: The scores of the same images afterwards.
    """
    if _are_counts(before) and _are_counts(after):
        return matched_interval(int((before > after).sum()), int((before < after).sum()), len(before))
    changes = np.asarray(after, float) - before
    half = _Z * float(changes.std()) / math.sqrt(len(changes))
    return float(changes.mean()) - half, float(changes.mean()) + half


def matched_interval(lost: int, won: int, images: int) -> tuple[float, float]:
    """95 % interval of a difference in accuracy on the same images; half an image is added to each of the four counts.

    Args:
        lost: Images predicted correctly before and wrongly now.
        won: Images predicted wrongly before and correctly now.
        images: All images.

    Reference:
        Agresti & Min, "Simple improved confidence intervals for comparing matched proportions", 2005.
    """
    worse, better, count = lost + 0.5, won + 0.5, images + 2
    middle = (better - worse) / count
    half = 1.96 * math.sqrt(worse + better - (better - worse) ** 2 / count) / count
    return middle - half, middle + half


def _are_counts(scores: np.ndarray) -> bool:
    return bool(np.isin(scores, (0, 1)).all())
