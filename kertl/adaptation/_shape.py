"""Whether the shift or other shares of classes made a model predict others, by the shape of its scores.

Mean and standard deviation of scores change in either case. What remains when both are taken away, such as a second
hump and on which side it is, is of the shares of the classes.
"""

import dataclasses

import numpy as np

from kertl.adaptation._maps import aligned
from kertl.adaptation._methods import Domains, restyled

_FOLDS = 3
_STEPS = np.linspace(-1.0, 1.0, 41)
_LEAST_SHARE = 0.05
_QUANTILES = (np.arange(200) + 0.5) / 200


@dataclasses.dataclass(frozen=True)
class SharesByShape:
    """The shares of classes, between the source's and the predicted ones or beyond, that fit the target best."""

    shares: np.ndarray
    """Shape `(classes,)`."""
    step: float
    """Where they are: 0 at the source's shares, 1 at the predicted ones, below 0 on the other side of the source's."""
    distance: float
    """Of the scores of target and source with these shares, in standard deviations: the mean difference of their
    quantiles (Wasserstein distance) when both have mean 0 and standard deviation 1."""


def shares_by_shape(domains: Domains, predicted: np.ndarray) -> SharesByShape:
    """The shares that explain best how the scores of the target are distributed.

    A head is solved on the source in the style of the target, so that it looks at what still tells the classes apart
    there. Its scores for rows of the source that it was not solved on, in the style that the target has if its shares
    are some, and weighted to them, are compared with those for the target. It takes for granted that within a class the
    shift changes features by a location and a scale. Where it does not, the distance remains large.

    Args:
        domains: The domains, of which the target has other predicted shares than the source.
        predicted: The shares of the classes as the model as it is predicts them, shape `(classes,)`.
    """
    source, classifier = domains.needed("auto"), domains.classifier
    before = domains.source_shares
    fold = np.random.default_rng(0).permutation(len(source.labels)) % _FOLDS
    kernels = [restyled(domains, fold != number).kernel for number in range(_FOLDS)]
    directions = [kernel @ (predicted - before) if classifier.link == "softmax" else kernel[:, 0] for kernel in kernels]
    wanted = _quantiles(domains.target @ np.mean(directions, axis=0))
    best = None
    for step in _STEPS:
        shares = before + step * (predicted - before)
        if step and (shares < np.minimum(before, _LEAST_SHARE)).any():
            continue
        weights = (shares / np.maximum(before, 1e-3))[source.labels]
        moved = aligned(domains.target, source.rows, target_weights=weights)(source.rows)
        scores = np.empty(len(moved))
        for number, direction in enumerate(directions):
            scores[fold == number] = moved[fold == number] @ direction
        distance = float(np.abs(_quantiles(scores, weights) - wanted).mean())
        if best is None or distance < best.distance:
            best = SharesByShape(shares, float(step), distance)
    assert best is not None  # the step 0 is always looked at
    return best


def _quantiles(scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Quantiles of weighted scores with mean 0 and standard deviation 1."""
    weights = np.ones(len(scores)) if weights is None else weights
    centred = scores - np.average(scores, weights=weights)
    centred = centred / max(float(np.sqrt(np.average(centred**2, weights=weights))), 1e-12)
    order = np.argsort(centred)
    places = np.cumsum(weights[order]) - weights[order] / 2
    return np.interp(_QUANTILES, places / weights.sum(), centred[order])
