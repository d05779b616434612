"""Classical classifiers of feature vectors: each is fitted once and tried at all its settings.

A probe gives, for each setting, the predictions for rows that it has not seen; the choice is made elsewhere.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin
from sklearn.neighbors import NearestNeighbors

from kertl._checks import complain

# Strengths of the penalty, per training row, on standardised features; the strongest first.
RIDGE_STRENGTHS = (100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)
LOGISTIC_STRENGTHS = (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)
NEIGHBOURS = (50, 20, 10, 5, 3, 1)

Probe = Callable[[np.ndarray, np.ndarray, np.ndarray, int], Iterator[tuple[str, np.ndarray]]]


class Standardiser:
    """Moves each feature to mean 0 and standard deviation 1, as measured on training rows; a constant one becomes 0."""

    def __init__(self, rows: np.ndarray) -> None:
        self._mean = rows.mean(axis=0, dtype=np.float64)
        deviation = rows.std(axis=0, dtype=np.float64)
        self._scale = np.where(deviation > 1e-12, deviation, np.inf)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return ((rows - self._mean) / self._scale).astype(np.float32)


class Ridge:
    """Least squares on one-hot classes with an L2 penalty, for all strengths from one eigendecomposition.

    With n centred rows X and targets Y, the scores of z are `z @ (X'X + s n I)^-1 @ X'Y` for each strength s. The
    smaller of X'X and XX' is decomposed.

    Args:
        rows: X, of shape `(n, features)`; n >= 2.
        labels: Class ids of the rows.
        classes: Number of classes.

    Reference:
        Golub, Heath & Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter", 1979, for
        the residuals without the row itself.
    """

    def __init__(self, rows: np.ndarray, labels: np.ndarray, classes: int) -> None:
        rows = rows.astype(np.float64)
        self._count, self._labels = len(rows), labels
        self._mean = rows.mean(axis=0)
        rows = rows - self._mean
        targets = np.eye(classes)[labels]
        self._target_mean = targets.mean(axis=0)
        self._targets = targets - self._target_mean
        wide = rows.shape[1] > len(rows)
        values, vectors = np.linalg.eigh(rows @ rows.T if wide else rows.T @ rows)
        kept = values > values[-1] * 1e-10
        self._values = values[kept]
        roots = np.sqrt(self._values)
        # left (n, r) and right (features, r) singular vectors
        self._left = vectors[:, kept] if wide else rows @ vectors[:, kept] / roots
        self._right = rows.T @ vectors[:, kept] / roots if wide else vectors[:, kept]

    def scores(self, rows: np.ndarray, strength: float) -> np.ndarray:
        """The score of each class, shape `(rows, classes)`."""
        shrunk = np.sqrt(self._values) / (self._values + strength * self._count)
        weights = self._right @ (shrunk[:, None] * (self._left.T @ self._targets))
        return (rows - self._mean) @ weights + self._target_mean

    def accuracy_left_out(self, strength: float) -> float:
        """The share of training rows that are predicted correctly by the fit to all the others."""
        shrunk = self._values / (self._values + strength * self._count)
        fitted = (self._left * shrunk) @ (self._left.T @ self._targets)
        leverage = ((self._left**2) @ shrunk) + 1 / self._count
        residuals = (self._targets - fitted) / np.maximum(1 - leverage, 1e-12)[:, None]
        answers = (self._targets - residuals + self._target_mean).argmax(axis=1)
        return float(np.mean(answers == self._labels))


def nearest_mean(
    rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, classes: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The class whose mean is nearest; classes without a row are never predicted."""
    present = np.unique(labels)
    means = np.stack([rows[labels == label].mean(axis=0) for label in present])
    # As `NearestCentroid` predicts; its fit takes memory for standard deviations that are not needed here.
    yield "", present[pairwise_distances_argmin(asked, means)]


def nearest_neighbours(
    rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, classes: int
) -> Iterator[tuple[str, np.ndarray]]:
    """The class of most of the k nearest rows; in a tie, that of the nearer ones."""
    most = min(max(NEIGHBOURS), len(rows))
    nearest = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(rows).kneighbors(asked, return_distance=False)
    votes = np.eye(classes)[labels[nearest]] * (1 - 1e-6 * np.arange(most))[None, :, None]
    for k in NEIGHBOURS:
        if k <= most:
            yield f"k={k}", votes[:, :k].sum(axis=1).argmax(axis=1)


def ridge(rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, classes: int) -> Iterator[tuple[str, np.ndarray]]:
    """`Ridge` at all strengths."""
    fitted = Ridge(rows, labels, classes)
    for strength in RIDGE_STRENGTHS:
        yield f"strength={strength:g}", fitted.scores(asked, strength).argmax(axis=1)


def logistic_regression(
    rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, classes: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Multinomial logistic regression at falling strengths, each begun where the stronger one ended.

    Once all training rows are predicted correctly, a weaker penalty would only make the predictions more confident, so
    the list of strengths ends there.
    """
    model = LogisticRegression(solver="lbfgs", tol=1e-3, max_iter=300, warm_start=True)
    for strength in LOGISTIC_STRENGTHS:
        model.C = 1 / (strength * len(rows))
        with warnings.catch_warnings():
            # A fit that has not converged is evaluated all the same.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows, labels)
        yield f"strength={strength:g}", np.asarray(model.predict(asked))
        if np.array_equal(model.predict(rows), labels):
            return


PROBES: dict[str, Probe] = {
    "nearest mean": nearest_mean,
    "nearest neighbours": nearest_neighbours,
    "ridge": ridge,
    "logistic regression": logistic_regression,
}


def classes_of(data: Any) -> np.ndarray:
    """The class ids of a dataset with one class per image.

    Raises:
        ValueError: If it is of another kind.
    """
    task = getattr(data, "task", "single_label")
    if task not in ("single_label", "binary"):
        advice = "For several labels or for targets, `kertl.cross_validate` says how well a head does."
        raise complain("data", "of the task 'single_label' or 'binary', one class per image", task, advice)
    return np.asarray(data.labels).reshape(len(data.labels)).astype(np.int64)
