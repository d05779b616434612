"""Remedies for classes with few images: weights in the loss, or drawing them more often."""

from typing import Any

import numpy as np

from kertl._checks import complain, number


def effective_weights(counts: Any, beta: float = 0.999) -> np.ndarray:
    """Weights of classes by the effective number of their examples, `(1 - beta^n_c) / (1 - beta)` of class c.

    A weight is one over that number, scaled so that the mean over all examples is 1, as with
    `kertl.data.ImageData.class_weights`. Among classes with far fewer than `1 / (1 - beta)` examples, every class
    counts nearly the same; among those with far more, every example does.

    Args:
        counts: Examples of each class; each a whole number >= 1.
        beta: 0 gives every example the same weight, a value near 1 every class; 0 <= beta < 1.

    Returns:
        The weights, shape `(classes,)`.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> from kertl.data import effective_weights
        >>> effective_weights([1000, 100, 10]).round(2).tolist()
        [0.48, 3.21, 30.66]

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", 2019. https://arxiv.org/abs/1901.05555
        (There the weights of the classes, not of the examples, have the mean 1.)
    """
    number("beta", beta, at_least=0, below=1)
    counted = np.asarray(counts)
    if counted.ndim != 1 or not counted.size or counted.dtype.kind not in "iu" or counted.min() < 1:
        raise complain("counts", "whole numbers >= 1, one per class", counts)
    weights = (1 - beta) / (1 - beta ** counted.astype(np.float64))
    return weights * counted.sum() / (weights @ counted)


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Weights with which every class counts equally: `n / (k * n_c)` of class c among k."""
    return counts.sum() / (len(counts) * counts)


def balanced_rows(classes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Examples in random order, as many of every class as of the largest; in a class, counts differ by one at most."""
    most = np.bincount(classes).max()
    drawn = [np.resize(random.permutation(np.flatnonzero(classes == one)), most) for one in np.unique(classes)]
    return random.permutation(np.concatenate(drawn))
