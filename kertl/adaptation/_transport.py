"""Optimal transport: the features of the source are moved onto those of the target, and the head is solved there."""

import warnings

import numpy as np

from kertl._checks import complain
from kertl.adaptation._classifier import Classifier
from kertl.probes import USUAL_STRENGTH, solve

_MOST = 1_500
"""Rows of each domain; the plan has their product."""
_ENTROPY = 0.05
"""Strength of the entropic regularisation, with costs divided by their median."""
_CLASSES = 0.1
"""Strength of the penalty that keeps rows of several classes from going to one place."""


def transported(
    classifier: Classifier, source: np.ndarray, labels: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias solved on the features of the source, each at the mean of the places that it is moved to.

    Args:
        classifier: The classifier.
        source: Its features, shape `(n, features)`.
        labels: Their class ids.
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
    chosen = random.permutation(len(source))[:_MOST]
    others = random.permutation(len(target))[:_MOST]
    source, labels, target = source[chosen].astype(np.float64), labels[chosen], target[others].astype(np.float64)
    costs = ot.dist(source, target)
    costs /= max(float(np.median(costs)), 1e-12)
    with warnings.catch_warnings():
        # Features are moved by a plan that has not converged all the same.
        warnings.simplefilter("ignore", UserWarning)
        plan = ot.da.sinkhorn_lpl1_mm(
            ot.unif(len(source)), labels, ot.unif(len(target)), costs, _ENTROPY, eta=_CLASSES, numItermax=5
        )
    moved = plan @ target / np.maximum(plan.sum(axis=1, keepdims=True), 1e-300)
    targets = classifier.targets(labels)
    solution = solve(moved.astype(np.float32), targets, link=classifier.link, strengths=[USUAL_STRENGTH])
    return solution.kernel, solution.bias
