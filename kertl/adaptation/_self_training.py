"""Prior correction and pseudo-labels: what a classifier's own answers tell about the target."""

from typing import Any

import numpy as np

from kertl._domains import Classifier, SourceFeatures
from kertl.probes import USUAL_STRENGTH, solve
from kertl.studies import estimated_shares

_LEAST_SHARE = 1e-3
_ROUNDS = 3
KEPT = 0.5
"""Share of the images of each predicted class that become pseudo-labels, the surest first."""


def corrected_prior(
    classifier: Classifier, rows: np.ndarray, source_shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel and bias for the shares of classes that EM estimates among the rows, and these shares.

    Args:
        classifier: The classifier.
        rows: Features of the target, shape `(n, features)`.
        source_shares: Shares of the classes where it was trained, shape `(classes,)`.
    """
    before = np.maximum(source_shares, _LEAST_SHARE)
    shares = estimated_shares(classifier.probabilities(classifier.scores(rows)), before)
    change = np.log(np.maximum(shares, _LEAST_SHARE)) - np.log(before)
    change = change if classifier.link == "softmax" else change[1:] - change[:1]
    return classifier.kernel, classifier.bias + change, shares


def pseudo_labelled(
    classifier: Classifier,
    scores: np.ndarray,
    target: np.ndarray,
    source: SourceFeatures | None,
    *,
    kept: float = KEPT,
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a head that is solved on the surest answers for the target, in three rounds.

    Of each predicted class the same share of images is taken, so that easy classes do not crowd out the others, and the
    features and labels of the source, if they are given, count as much as all of them.

    Args:
        classifier: The classifier.
        scores: Its scores for the target, shape `(n, outputs)`.
        target: Features of the target, shape `(n, features)`.
        source: Features of the source.
        kept: Share of the images of each predicted class; > 0 and <= 1.

    References:
        Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method", 2013.
        Zou et al., "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training", 2018,
            for the balance. https://arxiv.org/abs/1810.07911
    """
    kernel, bias = classifier.kernel, classifier.bias
    for _ in range(_ROUNDS):
        labels, chosen = surest(classifier.probabilities(scores), kept)
        parts: list[tuple[np.ndarray, Any]] = [(target[chosen], labels[chosen])]
        parts += [] if source is None else [(source.rows, source.labels)]
        solution = solve(
            np.concatenate([rows for rows, _ in parts]),
            classifier.targets(np.concatenate([ids for _, ids in parts])),
            link=classifier.link,
            weights=np.concatenate([np.full(len(rows), 1 / len(rows)) for rows, _ in parts]),
            strengths=[USUAL_STRENGTH if source is None else source.strength],
        )
        kernel, bias = solution.kernel, solution.bias
        scores = target @ kernel + bias
    return kernel, bias


def surest(probabilities: np.ndarray, kept: float) -> tuple[np.ndarray, np.ndarray]:
    """The predicted class of each image, and the numbers of the surest images of each."""
    labels, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.argsort(-sure[members], kind="stable")[: max(1, round(kept * len(members)))]])
    return labels, np.sort(np.concatenate(chosen))
