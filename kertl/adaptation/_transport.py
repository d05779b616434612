"""Optimal transport: the features of the source are moved onto those of the target, and the head is solved there."""

import warnings

import numpy as np

from kertl._checks import complain
from kertl._domains import Classifier, SourceFeatures
from kertl.probes import solve

_MOST = 1_500
"""Rows of each domain; the plan has their product."""
_ENTROPY = 0.05
"""Strength of the entropic regularisation, with costs divided by their median."""
_CLASSES = 0.1
"""Strength of the penalty that keeps rows of several classes from going to one place."""


def transported(classifier: Classifier, source: SourceFeatures, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias solved on the features of the source, each at the mean of the places that it is moved to.

    Args:
        classifier: The classifier.
        source: The features of its domain.
        target: Features of the target, shape `(m, features)`; at most 1,500 of each are used.

    Raises:
        ValueError: If the package POT is not installed.

    Reference:
        Courty et al., "Optimal Transport for Domain Adaptation", 2017. https://arxiv.org/abs/1507.00504
    """
    try:
        import ot
    except ImportError as error:
        advice = "Install the package POT: pip install 'kertl[adaptation]'."
        raise complain("method", "one whose packages are installed", "ot", advice) from error
    random = np.random.default_rng(0)
    chosen = random.permutation(len(source.rows))[:_MOST]
    others = random.permutation(len(target))[:_MOST]
    rows, labels, target = source.rows[chosen].astype(np.float64), source.labels[chosen], target[others].astype(float)
    costs = ot.dist(rows, target)
    costs /= max(float(np.median(costs)), 1e-12)
    with warnings.catch_warnings():
        # Features are moved by a plan that has not converged all the same.
        warnings.simplefilter("ignore", UserWarning)
        plan = ot.da.sinkhorn_lpl1_mm(
            ot.unif(len(rows)), labels, ot.unif(len(target)), costs, _ENTROPY, eta=_CLASSES, numItermax=5
        )
    moved = plan @ target / np.maximum(plan.sum(axis=1, keepdims=True), 1e-300)
    targets = classifier.targets(labels)
    solution = solve(moved.astype(np.float32), targets, link=classifier.link, strengths=[source.strength])
    return solution.kernel, solution.bias
