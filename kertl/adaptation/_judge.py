"""What can be known of a method without labels of the target."""

import numpy as np
from sklearn.metrics import roc_auc_score

from kertl.adaptation._methods import Domains, Solved
from kertl.adaptation._result import Judged
from kertl.probes import solve
from kertl.studies import Components, domain_scores

_MOST = 1_500
"""Rows of each domain that are judged by."""


def judge(method: str, domains: Domains, solved: Solved) -> Judged:
    """What is known of a method.

    Reference:
        Zhong et al., "Cross Validation Framework to Choose Amongst Models and Datasets for Transfer Learning", 2010,
            for the reverse accuracy. https://doi.org/10.1007/978-3-642-15939-8_35
    """
    classifier, source = domains.classifier, domains.source
    before = classifier.scores(domains.target)
    probabilities = classifier.probabilities(domains.target @ solved.kernel + solved.bias)
    said = probabilities.argmax(axis=1)
    shares = np.bincount(said, minlength=classifier.classes) / len(said)
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1).mean()
    auc = reverse = imbalance = float("nan")
    if source is not None:
        rows = domains.target if solved.map is None else solved.map(domains.target)
        auc = domain_auc(source.rows, rows)
        reverse = _reverse(domains, said)
        imbalance = float(np.abs(shares - domains.source_shares).sum() / 2)
    return Judged(
        method=method,
        changed=float(np.mean(said != classifier.probabilities(before).argmax(axis=1))),
        entropy=float(entropy / np.log(classifier.classes)),
        domain_auc=auc,
        imbalance=imbalance,
        reverse_accuracy=reverse,
    )


def domain_auc(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> float:
    """AUC of a classifier that tells two samples apart, with weights for the rows of the first."""
    random = np.random.default_rng(0)
    chosen, others = (random.permutation(len(rows))[:_MOST] for rows in (source, target))
    first, second = source[chosen], target[others]
    components = Components(first, second)
    counted = None if weights is None else weights[chosen]
    scores, truth = domain_scores(components(first), components(second), weights=counted)
    both = np.concatenate([np.ones(len(first)) if counted is None else counted, np.ones(len(second))])
    return float(roc_auc_score(truth, scores, sample_weight=both))


def _reverse(domains: Domains, said: np.ndarray) -> float:
    """Accuracy on the source of a head that is solved on the predictions for the target.

    The features of the target are aligned for it in any case, so that methods differ by their predictions alone.
    """
    source, classifier = domains.needed("auto"), domains.classifier
    if len(np.unique(said)) < 2:
        return float(domains.source_shares[said[0]])
    solution = solve(
        domains.aligned_target, classifier.targets(said), link=classifier.link, strengths=[source.strength]
    )
    back = classifier.probabilities(source.rows @ solution.kernel + solution.bias).argmax(axis=1)
    return float(np.mean(back == source.labels))
