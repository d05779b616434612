"""`method="auto"`: which method, if any, by what can be known without labels of the target."""

import dataclasses

import numpy as np

from kertl.adaptation._judge import domain_auc, judge
from kertl.adaptation._maps import aligned
from kertl.adaptation._methods import ON_FEATURES, Domains, Solved, unchanged
from kertl.adaptation._result import Judged
from kertl.adaptation._shape import shares_by_shape
from kertl.studies import Components, estimated_shares, mmd_test

FEWEST = 50
"""Images of the target, below which nothing is done: means of fewer are too uncertain."""
_LEVEL = 0.01
_EXPLAINED = 0.6
"""AUC below which two domains, with the classes weighted to equal shares, count as the same."""
_LABELS_DIFFER = 0.05
_FAR = 0.4
"""Distance of the predicted shares of classes from the source's, above which they may be the truth, or what the shift
made of the model: what helps in the one case harms in the other."""
_FITS = 0.07
"""Distance of the shapes of scores up to which shares of classes are said to fit."""
_AS_WELL = 0.02
"""How much farther than the best shares those of the source may be, to be said to fit as well."""
_WORSE = 0.1
"""How much lower the reverse accuracy may be; it is a coarse measure, which stops what has gone wrong altogether."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen."""

    method: str
    solved: Solved
    judged: tuple[Judged, ...]
    reason: str


def choose(domains: Domains, seed: int) -> Choice:
    """The method that "auto" takes.

    1. Without features of the source, of each class, or with fewer than 50 images, nothing is done.
    2. Where a permutation test with the MMD sees no shift (p > 0.01), nothing is done.
    3. Where the shift is gone once the source is weighted to the estimated shares of classes, the prior is corrected.
    4. Of two classes, where the shift is gone once the source has the shares that fit the shape of the scores, and the
       means and standard deviations of the target, these shares are taken for the target's.
    5. Where the model as it is predicts shares of classes far from the source's, and the true ones are not known,
       adapting helps if the shift made the model predict so, and harms if the target is so. Nothing is done unless the
       shape of the scores fits the source's shares.
    6. Else "restyle" is taken, unless a head that learns from its predictions knows the source far less well than one
       that learns from those of the model as it is (reverse accuracy).
    """
    before = unchanged(domains)
    if domains.source is None:
        return Choice("none", before, (), "Without features of the source it cannot be known whether anything helps.")
    none = judge("none", domains, before)
    if domains.lacking:
        why = (
            f"The source has no image of {', '.join(domains.lacking)}: what is adapted by it would no longer know them."
        )
        return Choice("none", before, (none,), why)
    count = len(domains.target)
    if count < FEWEST:
        return Choice("none", before, (none,), f"{count} images are too few; at least {FEWEST} are needed.")
    p_value = seen(domains, seed)
    if p_value > _LEVEL:
        return Choice("none", before, (none,), f"No shift is seen: p = {p_value:.3f} by a test with the MMD.")
    shares = estimated_shares(
        domains.classifier.probabilities(domains.classifier.scores(domains.target)),
        np.maximum(domains.source_shares, 1e-3),
    )
    weights = (shares / np.maximum(domains.source_shares, 1e-3))[domains.source.labels]
    remaining = domain_auc(domains.source.rows, domains.target, weights)
    moved = float(np.abs(shares - domains.source_shares).sum() / 2)
    if remaining < _EXPLAINED:
        if moved < _LABELS_DIFFER:
            return Choice(
                "none", before, (none,), f"The shift is small: AUC {remaining:.2f} of telling the domains apart."
            )
        solved = ON_FEATURES["prior"](domains)
        reason = f"Other shares of classes explain the shift: with equal ones the AUC is {remaining:.2f}."
        return Choice("prior", solved, (none, judge("prior", domains, solved)), reason)
    domains, why, certain = _with_shares(domains, none.imbalance, seed)
    if not certain:
        return Choice("none", before, (none,), why)
    solved = dataclasses.replace(ON_FEATURES["restyle"](domains), shares=domains.known_shares)
    restyled = judge("restyle", domains, solved)
    told = f"reverse accuracy {restyled.reverse_accuracy:.2f}, as it is {none.reverse_accuracy:.2f}"
    if restyled.reverse_accuracy < none.reverse_accuracy - _WORSE:
        return Choice("none", before, (none, restyled), f"Nothing is likely to help: {told}.")
    reason = f"The domains differ (AUC {none.domain_auc:.2f}), not by shares of classes alone{why}; {told}."
    return Choice("restyle", solved, (none, restyled), reason)


def _with_shares(domains: Domains, imbalance: float, seed: int) -> tuple[Domains, str, bool]:
    """The domains with the shares of classes to adapt with, what speaks for these, and whether they are certain enough.

    Of more than two classes the shares may differ in too many ways, so that it is asked only where the predicted ones
    are far from the source's and show the direction.
    """
    classifier = domains.classifier
    far = imbalance > _FAR
    if domains.known_shares is not None or (classifier.classes > 2 and not far):
        return domains, "", True
    said = classifier.probabilities(classifier.scores(domains.target)).argmax(axis=1)
    fit = shares_by_shape(domains, np.bincount(said, minlength=classifier.classes) / len(said))
    p_value = _left(domains, fit.shares, seed)
    if fit.distance <= _FITS and p_value > _LEVEL:
        return (
            dataclasses.replace(domains, known_shares=fit.shares),
            f"; aligned and with fitted shares they do not (p = {p_value:.2f})",
            True,
        )
    if not far:
        return domains, "", True
    if fit.of_source <= _FITS and fit.of_source - fit.distance <= _AS_WELL:
        return domains, "; the shape of the scores fits the source's shares", True
    why = (
        f"The predicted shares of the classes are far from the source's (distance {imbalance:.2f}): either the shift "
        "made the model predict so, or the target is so, and nothing tells which. If the shares are known, such as to "
        "be those of the source, pass `shares` (`--share CLASS=SHARE` for each class) and it goes on."
    )
    return domains, why, False


def seen(domains: Domains, seed: int) -> float:
    """The p-value of a permutation test whether the domains differ."""
    return _differ(domains.rows, domains.target, np.random.default_rng(seed))


def _left(domains: Domains, shares: np.ndarray, seed: int) -> float:
    """The same when the source has these shares of classes, and means and standard deviations of the target."""
    random, rows = np.random.default_rng(seed), domains.rows
    weights = (shares / np.maximum(domains.source_shares, 1e-3))[domains.needed("auto").labels]
    moved = aligned(domains.target, rows, target_weights=weights)(rows)
    drawn = random.choice(len(rows), len(rows), p=weights / weights.sum())
    return _differ(moved[drawn], domains.target, random)


def _differ(source: np.ndarray, target: np.ndarray, random: np.random.Generator) -> float:
    components = Components(source, target)
    return mmd_test(components(source), components(target), random)[1]
