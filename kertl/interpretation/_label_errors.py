"""Labels that are probably wrong: what a classifier says of images that it was not fitted to."""

import importlib.util
import warnings

import numpy as np
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict

_FOLDS = 5
_DIRECTIONS = 256
_STRENGTHS = (10.0, 1.0)
"""Of the penalty, per row, as `kertl.probes` counts them."""


def out_of_fold(vectors: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities of the classes for each image by logistic regression on the features of others.

    Args:
        vectors: Standardised features, shape `(n, features)`; the directions in which they vary most are used.
        labels: Class id of each.
        classes: Number of classes.
    """
    most = min(_DIRECTIONS, *vectors.shape)
    rows = PCA(most, svd_solver="randomized", random_state=0).fit_transform(vectors)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)

    def predicted(strength: float) -> np.ndarray:
        model = LogisticRegression(C=1 / (strength * len(rows)), max_iter=200)
        return np.asarray(cross_val_predict(model, rows, labels, cv=folds, method="predict_proba"))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly converged is enough
        found = [predicted(strength) for strength in _STRENGTHS]
    return min(found, key=lambda one: log_loss(labels, one, labels=range(classes)))


def doubtful(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray | None:
    """The places of labels that are probably wrong, the most doubtful first; None if cleanlab is not installed.

    Args:
        labels: Class ids.
        probabilities: Out-of-fold probabilities, shape `(n, classes)`.

    Reference:
        Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", 2021.
        https://arxiv.org/abs/1911.00068
    """
    if importlib.util.find_spec("cleanlab") is None:
        return None
    from cleanlab.filter import find_label_issues

    return np.asarray(find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1))


def enough(labels: np.ndarray, classes: int) -> bool:
    """Whether every class has an image for each fold."""
    return bool(np.bincount(labels, minlength=classes).min() >= _FOLDS)
