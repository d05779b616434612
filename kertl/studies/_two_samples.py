"""How far two samples of feature vectors are apart: means and covariances, Fréchet distance, a classifier, MMD.

All of it is in the principal components of both samples together, in units of their standard deviations, so that
distances of features with other units and other numbers of them can be compared.
"""

import dataclasses
import math

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from kertl.probes import Standardiser

COMPONENTS = 64
"""The most principal components that are compared."""
_ROWS_PER_COMPONENT = 4
_FOLDS = 5
_MOST_FOR_KERNEL = 500
"""Rows of each sample that the kernel is computed of, which takes their square."""
PERMUTATIONS = 499


@dataclasses.dataclass(frozen=True)
class Distances:
    """How far sample b is from sample a."""

    mean_difference: float
    """Root mean square over the components of the difference of means, in standard deviations of both together."""
    covariance_difference: float
    """Frobenius norm of the difference of the covariances, as a share of that of the covariance of a."""
    frechet: float
    """Fréchet distance (squared, as in the FID) of the two normal distributions, per component."""
    frechet_within: float
    """The same between two random halves of a: what it is where there is no shift."""
    auc: float
    """Area under the ROC curve of a classifier that tells b from a, cross-validated; 0.5 if it cannot."""
    auc_interval: tuple[float, float]
    """95 % interval of the AUC."""
    mmd: float
    """Squared maximum mean discrepancy, unbiased, so that it may be below 0; Gaussian kernel of the median distance."""
    p_value: float
    """Of a permutation test with the MMD: how often a random division into two samples is at least as far apart."""


class Components:
    """Rows in the principal components of two samples together, each standardised.

    Args:
        a: Rows of the first sample, shape `(n, features)`.
        b: Rows of the second.
    """

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        both = np.concatenate([a, b])
        most = max(2, min(COMPONENTS, min(len(a), len(b)) // _ROWS_PER_COMPONENT))
        self._standardise = Standardiser(both)
        rows = self._standardise(both).astype(np.float64)
        wide = rows.shape[1] > len(rows)
        values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        kept = np.flatnonzero(values > max(values[-1] * 1e-9, 1e-12))[::-1][:most]
        directions = rows.T @ vectors[:, kept] / np.sqrt(values[kept]) if wide else vectors[:, kept]
        self._directions = directions * np.sqrt(len(rows) / values[kept])

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Shape `(n, components)`; one of zeros where all rows are equal."""
        found = np.asarray(self._standardise(rows) @ self._directions)
        return found if found.shape[1] else np.zeros((len(rows), 1))


def compare(a: np.ndarray, b: np.ndarray, *, seed: int = 0) -> Distances:
    """How far two samples of features are apart.

    Args:
        a: Shape `(n, features)`.
        b: Shape `(m, features)`.
        seed: Seed of folds, halves and permutations; >= 0.

    Example:
        >>> import numpy as np
        >>> from kertl.studies import compare
        >>> random = np.random.default_rng(0)
        >>> same = compare(random.normal(size=(200, 8)), random.normal(size=(200, 8)))
        >>> other = compare(random.normal(size=(200, 8)), random.normal(1.0, size=(200, 8)))
        >>> same.p_value > 0.05, other.p_value, other.auc > 0.9
        (True, 0.002, True)

    References:
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017, for the Fréchet distance of features.
        Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests", 2017. https://arxiv.org/abs/1610.06545
        Gretton et al., "A Kernel Two-Sample Test", 2012. https://jmlr.org/papers/v13/gretton12a.html
    """
    components = Components(a, b)
    a, b = components(a), components(b)
    random = np.random.default_rng(seed)
    halves = np.array_split(random.permutation(len(a)), 2)
    scores, truth = domain_scores(a, b, seed=seed)
    auc = float(roc_auc_score(truth, scores))
    distance, p_value = mmd_test(a, b, random)
    first, second = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    return Distances(
        mean_difference=float(np.sqrt(np.mean((a.mean(axis=0) - b.mean(axis=0)) ** 2))),
        covariance_difference=float(np.linalg.norm(first - second) / max(float(np.linalg.norm(first)), 1e-12)),
        frechet=frechet(a, b) / a.shape[1],
        frechet_within=frechet(a[halves[0]], a[halves[1]]) / a.shape[1],
        auc=auc,
        auc_interval=_auc_interval(auc, len(a), len(b)),
        mmd=distance,
        p_value=p_value,
    )


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Fréchet distance of the normal distributions with the means and covariances of two samples.

    `|mean a - mean b|² + trace(A + B - 2 (A^½ B A^½)^½)`, with eigenvalues instead of a matrix root of a product that
    is not symmetric.
    """
    first, second = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ second @ root)
    apart = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    return float(apart + np.trace(first) + np.trace(second) - 2 * np.sqrt(np.maximum(inner, 0)).sum())


def domain_scores(
    a: np.ndarray, b: np.ndarray, *, weights: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """How much each row looks like b to a classifier that has not seen it, and which rows are of b.

    Args:
        a: Shape `(n, features)`.
        b: Shape `(m, features)`.
        weights: Weight of each row of a; all equal by default.
        seed: Seed of the folds.
    """
    rows = np.concatenate([a, b])
    truth = np.repeat([0, 1], [len(a), len(b)])
    counted = np.concatenate([np.ones(len(a)) if weights is None else weights, np.ones(len(b))])
    counted = counted * np.where(truth == 1, 0.5 / counted[truth == 1].sum(), 0.5 / counted[truth == 0].sum())
    counted *= len(rows)
    scores = np.empty(len(rows))
    folds = StratifiedKFold(min(_FOLDS, len(a), len(b)), shuffle=True, random_state=seed)
    for fitted, asked in folds.split(rows, truth):
        model = LogisticRegression(C=0.1, tol=1e-3, max_iter=500)
        model.fit(rows[fitted], truth[fitted], sample_weight=counted[fitted])
        scores[asked] = model.decision_function(rows[asked])
    return scores, truth


def mmd_test(
    a: np.ndarray, b: np.ndarray, random: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[float, float]:
    """The unbiased squared MMD of two samples, and the p-value of a permutation test with it.

    Of larger samples 500 rows each are drawn.

    Args:
        a: Shape `(n, features)`.
        b: Shape `(m, features)`.
        random: Draws rows and permutations.
        permutations: Their number; the p-value is at least `1 / (permutations + 1)`.
    """
    a, b = (rows if len(rows) <= _MOST_FOR_KERNEL else _drawn(rows, random) for rows in (a, b))
    squares = cdist(np.concatenate([a, b]), np.concatenate([a, b]), "sqeuclidean")
    usual = np.median(squares[np.triu_indices(len(squares), 1)])
    kernel = np.exp(-squares / max(float(usual), 1e-12))
    np.fill_diagonal(kernel, 0)
    n, m = len(a), len(b)
    of_a = np.zeros((n + m, permutations + 1))
    of_a[:n, 0] = 1
    for number in range(1, permutations + 1):
        of_a[random.permutation(n + m)[:n], number] = 1
    within_a = np.einsum("ij,ij->j", of_a, kernel @ of_a)
    across = np.einsum("ij,ij->j", 1 - of_a, kernel @ of_a)
    within_b = kernel.sum() - within_a - 2 * across
    found = within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * across / (n * m)
    return float(found[0]), float((found >= found[0] - 1e-12).sum() / (permutations + 1))


def _drawn(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.asarray(rows[random.choice(len(rows), _MOST_FOR_KERNEL, replace=False)])


def _auc_interval(auc: float, n: int, m: int) -> tuple[float, float]:
    """The 95 % interval of an AUC.

    Reference:
        Hanley & McNeil, "The meaning and use of the area under a ROC curve", 1982.
    """
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (m - 1) * (first - auc**2) + (n - 1) * (second - auc**2)) / (n * m)
    reach = 1.96 * math.sqrt(max(variance, 0.0))
    return max(0.0, auc - reach), min(1.0, auc + reach)
