"""The methods on cached features: each gives a kernel and a bias for features of the target."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from kertl._checks import complain
from kertl._domains import Classifier, SourceFeatures
from kertl.adaptation._maps import FeatureMap, aligned, coral
from kertl.adaptation._self_training import corrected_prior, pseudo_labelled
from kertl.adaptation._trained import HOW, trained
from kertl.adaptation._transport import transported
from kertl.probes import solve


@dataclasses.dataclass(frozen=True)
class Domains:
    """A classifier, the features of both domains, and the labels of the source."""

    classifier: Classifier
    target: np.ndarray
    """Shape `(m, features)`."""
    source: SourceFeatures | None
    known_shares: np.ndarray | None = None
    """Shares of the classes in the target, where they are known, shape `(classes,)`; each > 0."""

    @property
    def rows(self) -> np.ndarray:
        """Features of the source, shape `(n, features)`."""
        return self.needed("this method").rows

    def needed(self, method: str) -> SourceFeatures:
        """The features of the source.

        Raises:
            ValueError: If there are none.
        """
        if self.source is None:
            advice = (
                "Pass the images that the model was trained on, or `kertl.adaptation.SourceFeatures`. Without them "
                "only 'adabn' is possible, and 'pseudo' on the target alone."
            )
            raise complain("source", f"given for method={method!r}", None, advice)
        return self.source

    @functools.cached_property
    def aligned_target(self) -> np.ndarray:
        """Features of the target with the means and standard deviations of the source."""
        return np.asarray(self.alignment(self.target), np.float32)

    @functools.cached_property
    def alignment(self) -> FeatureMap:
        """The map from the target to the source, whose classes are weighted to the shares of the target, if known."""
        return aligned(self.rows, self.target, source_weights=self.weights)

    @property
    def weights(self) -> np.ndarray | None:
        """Weights of the rows of the source that give its classes the known shares; None where these are not known."""
        if self.known_shares is None:
            return None
        ratio = self.known_shares / np.maximum(self.source_shares, 1e-3)
        return np.asarray(ratio[self.needed("align").labels])

    @property
    def source_shares(self) -> np.ndarray:
        """Shares of the classes in the source."""
        labels = self.needed("prior").labels
        return np.bincount(labels, minlength=self.classifier.classes) / len(labels)

    @property
    def lacking(self) -> list[str]:
        """The classes of which the source has no image."""
        there = set() if self.source is None else set(self.source.labels.tolist())
        return [name for place, name in enumerate(self.classifier.names) if self.source and place not in there]


@dataclasses.dataclass(frozen=True)
class Solved:
    """What a method changes: the Dense layer, by a map of its features, or by another kernel and bias, or both."""

    kernel: np.ndarray
    """For features of the target as they are."""
    bias: np.ndarray
    map: FeatureMap | None = None
    """What is folded into them."""
    shares: np.ndarray | None = None
    """The shares of the classes that were estimated on the way."""


def unchanged(domains: Domains) -> Solved:
    """The classifier as it is."""
    return Solved(domains.classifier.kernel, domains.classifier.bias)


def _align(domains: Domains) -> Solved:
    domains.needed("align")
    return _mapped(domains, domains.alignment)


def _coral(domains: Domains) -> Solved:
    return _mapped(domains, coral(domains.needed("coral").rows, domains.target))


def restyled(domains: Domains, kept: np.ndarray | slice = slice(None)) -> Solved:
    """The head solved on the source as it is and in the style of the target.

    Args:
        domains: The domains.
        kept: Rows of the source to solve on.
    """
    source, classifier, weights = domains.needed("restyle"), domains.classifier, domains.weights
    moved = aligned(domains.target, source.rows, target_weights=weights)(source.rows)
    solution = solve(
        np.concatenate([source.rows[kept], moved[kept]]).astype(np.float32),
        classifier.targets(np.tile(source.labels[kept], 2)),
        link=classifier.link,
        weights=None if weights is None else np.tile(weights[kept], 2),
        strengths=[source.strength],
    )
    return Solved(solution.kernel, solution.bias)


def _mapped(domains: Domains, found: FeatureMap) -> Solved:
    classifier = domains.classifier
    return Solved(*found.folded(classifier.kernel, classifier.bias), map=found)


def _prior(domains: Domains) -> Solved:
    domains.needed("prior")
    kernel, bias, shares = corrected_prior(domains.classifier, domains.target, domains.source_shares)
    return Solved(kernel, bias, shares=shares)


def _pseudo(domains: Domains) -> Solved:
    classifier, source = domains.classifier, domains.source
    if source is None:
        kernel, bias = pseudo_labelled(classifier, classifier.scores(domains.target), domains.target, None)
        return Solved(kernel, bias)
    rows = domains.aligned_target
    kernel, bias = pseudo_labelled(classifier, classifier.scores(rows), rows, source)
    return Solved(*domains.alignment.folded(kernel, bias), map=domains.alignment)


def _ot(domains: Domains) -> Solved:
    source = domains.needed("ot")
    kernel, bias = transported(domains.classifier, source, domains.target)
    return Solved(kernel, bias)


def _trained(domains: Domains, method: str) -> Solved:
    source = domains.needed(method)
    kernel, bias = trained(domains.classifier, source, domains.aligned_target, method)
    return Solved(*domains.alignment.folded(kernel, bias), map=domains.alignment)


ON_FEATURES: dict[str, Callable[[Domains], Solved]] = {
    "restyle": restyled,
    "align": _align,
    "coral": _coral,
    "prior": _prior,
    "pseudo": _pseudo,
    "ot": _ot,
    **{method: functools.partial(_trained, method=method) for method in HOW},
}
"""By name, what is computed on cached features alone."""
