"""Whether the shift or other shares of classes made a model predict others, by the shape of its scores.

Mean and standard deviation of scores change in either case. What remains when both are taken away, such as a longer
tail and on which side it is, is of the shares of the classes.
"""

import dataclasses

import numpy as np

from kertl.adaptation._maps import aligned
from kertl.adaptation._methods import Domains, restyled

_FOLDS = 3
_MOVES = np.arange(-18, 19) * 0.05
_LEAST_SHARE = 0.05
_NOISE = (0.0, 0.25, 0.5)
"""In standard deviations; with more, any share fits."""
_COPIES = 4
_QUANTILES = (np.arange(200) + 0.5) / 200


@dataclasses.dataclass(frozen=True)
class SharesByShape:
    """Which shares of the classes fit how the scores of the target are distributed.

    A distance is the mean difference of the quantiles (Wasserstein distance) of the scores for both domains, each with
    mean 0 and standard deviation 1.
    """

    shares: np.ndarray
    """Those that fit best, shape `(classes,)`."""
    distance: float
    """With these."""
    of_source: float
    """With the shares of the source."""


def shares_by_shape(domains: Domains, predicted: np.ndarray) -> SharesByShape:
    """The shares that explain best how the scores of the target are distributed, and whether the source's do.

    They are sought on the line through the source's shares and the predicted ones; of two classes these are all. Heads
    are solved on the source in the style of the target, so that they look at what still tells the classes apart there.
    Their scores for rows of the source that they were not solved on, in the style that the target has if its shares are
    some, and weighted to these, are compared with those for the target. It takes for granted that within a class the
    shift changes features by a location and a scale, and the scores by noise of half their standard deviation at most,
    in either domain. Where it does more, all distances remain large.

    Args:
        domains: The domains.
        predicted: The shares of the classes in the target as the model as it is predicts them, shape `(classes,)`.
    """
    source, before = domains.needed("auto"), domains.source_shares
    towards = _direction(before, predicted)
    fold = np.random.default_rng(0).permutation(len(source.labels)) % _FOLDS
    kernels = [restyled(domains, fold != number).kernel for number in range(_FOLDS)]
    lines = [kernel @ towards if kernel.shape[1] > 1 else kernel[:, 0] for kernel in kernels]
    wanted = domains.target @ np.mean(lines, axis=0)
    found = []
    for move in _MOVES:
        shares = before + move * towards
        if move and (shares < np.minimum(before, _LEAST_SHARE)).any():
            continue
        weights = (shares / np.maximum(before, 1e-3))[source.labels]
        moved = aligned(domains.target, source.rows, target_weights=weights)(source.rows)
        scores = np.empty(len(moved))
        for number, line in enumerate(lines):
            scores[fold == number] = moved[fold == number] @ line
        found.append((_distance(scores, weights, wanted), move, shares))
    distance, _, shares = min(found, key=lambda one: one[0])
    return SharesByShape(shares, distance, next(one for one, move, _ in found if move == 0))


def _direction(before: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """What some shares gain and others lose from the ones to the others; 1 in all."""
    change = predicted - before if np.abs(predicted - before).sum() > 0 else np.array([-1.0, 1.0])
    return np.asarray(2 * change / np.abs(change).sum())


def _distance(scores: np.ndarray, weights: np.ndarray, wanted: np.ndarray) -> float:
    """Of the shapes of scores of the source and the target, the noisier one being whichever fits better."""
    equal = np.ones(len(wanted))
    plain = _quantiles(scores, weights), _quantiles(wanted, equal)
    pairs = [plain]
    for noise in _NOISE[1:]:
        pairs += [(_noisy(scores, weights, noise), plain[1]), (plain[0], _noisy(wanted, equal, noise))]
    return float(min(np.abs(first - second).mean() for first, second in pairs))


def _noisy(scores: np.ndarray, weights: np.ndarray, noise: float) -> np.ndarray:
    """Quantiles of scores with normal noise, the same in every call."""
    spread = np.sqrt(np.average((scores - np.average(scores, weights=weights)) ** 2, weights=weights))
    drawn = np.random.default_rng(0).normal(0, noise * spread, _COPIES * len(scores))
    return _quantiles(np.tile(scores, _COPIES) + drawn, np.tile(weights, _COPIES))


def _quantiles(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Quantiles of weighted scores with mean 0 and standard deviation 1."""
    centred = scores - np.average(scores, weights=weights)
    centred = centred / max(float(np.sqrt(np.average(centred**2, weights=weights))), 1e-12)
    order = np.argsort(centred)
    places = np.cumsum(weights[order]) - weights[order] / 2
    return np.interp(_QUANTILES, places / weights.sum(), centred[order])
