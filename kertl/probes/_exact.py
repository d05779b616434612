"""Linear heads that are solved, not trained: the minimum of a convex loss with an L2 penalty.

With n rows x of standardised features, targets y and weights w that sum to 1, kernel K and bias b minimise
`sum of w * loss(y, x @ K + b) + strength / 2 * |K|^2`. The standardisation is part of the kernel and bias returned.
"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax
from threadpoolctl import ThreadpoolController

from kertl._checks import complain, one_of
from kertl.errors import ArgumentError

STRENGTHS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
"""Strengths of the penalty that are tried, the strongest first."""
_LINKS = ("softmax", "sigmoid", "linear")
_PATIENCE = 2
"""How many strengths in a row may be worse than the best before weaker ones are not tried."""
_MOST_REDUCED = 3_000
"""Rows or features up to which all are first rotated to uncorrelated ones, which takes a cube of their number."""
_SAMPLE = 1_500
"""Rows by which the curvature is estimated where there are more."""
_LEAST_SCALE = 0.01
"""The least standard deviation that a feature is divided by, as a share of the usual one. A channel that hardly ever
fires in training would otherwise decide alone where it does."""
_BLOCK = 1 << 27
"""Bytes of rows that are computed with at once."""
FOLDS = 5
USUAL_STRENGTH = 1.0
"""The strength where there is nothing to choose it by, such as one image of each class."""
_NOT_FINITE = (
    "`rows` must be finite. Received: features that are NaN or infinite. Look for unsuitable images with "
    "`data.issues`, or for weights that overflow."
)


@dataclasses.dataclass(frozen=True)
class Solution:
    """A linear head at the minimum of its loss."""

    kernel: np.ndarray
    """Shape `(features, outputs)`."""
    bias: np.ndarray
    """Shape `(outputs,)`."""
    strength: float
    """Of the penalty."""
    losses: Mapping[float, float]
    """By strength, the loss on rows that were not fitted, summed over the outputs, and half of a squared error; empty
    if the strength was given."""

    def mean_losses(self, link: str) -> dict[float, float]:
        """The losses as Keras counts them: those of "sigmoid" and "linear" are means over the outputs."""
        share = {"softmax": 1.0, "sigmoid": 1 / len(self.bias), "linear": 2 / len(self.bias)}[link]
        return {strength: loss * share for strength, loss in self.losses.items()}

    def scores(self, rows: Any) -> np.ndarray:
        """What the head computes before its activation, shape `(rows, outputs)`."""
        return np.concatenate([block @ self.kernel for block in _blocks(rows)]) + self.bias


def solve(
    rows: Any,
    targets: np.ndarray,
    *,
    link: str,
    weights: np.ndarray | None = None,
    held_out: tuple[Any, np.ndarray] | None = None,
    folds: np.ndarray | None = None,
    strengths: Sequence[float] = STRENGTHS,
) -> Solution:
    """Solve a linear head, at the strength of the penalty that is best for rows that were not fitted.

    Each strength begins where the stronger one ended; the list ends where two in a row did not improve. The head is
    then solved anew at the best one.

    Args:
        rows: Features, shape `(n, features)`: an array, or something like one whose rows are in files.
        targets: Shape `(n, outputs)`; for "softmax" and "sigmoid" shares from 0 to 1.
        link: What is made of the scores: "softmax" (one loss over all outputs), "sigmoid" (one per output), or
            "linear" (squared error).
        weights: Weight of each row in the loss; all equal by default.
        held_out: Rows and targets by which the strength is chosen. Without them a squared error is left out row by row,
            and other losses fold by fold.
        folds: The fold of each row, for rows that must be left out together; -1 for rows that are always fitted, such
            as those of a class with a single image. By default five folds are drawn.
        strengths: The strengths to try, the strongest first; one alone is taken as it is.

    Raises:
        ValueError: If the link is unknown, no row has a weight, or a feature is not finite.

    Reference:
        Friedman, Hastie & Tibshirani, "Regularization Paths for Generalized Linear Models via Coordinate Descent",
        2010, for paths with warm starts. https://doi.org/10.18637/jss.v033.i01
    """
    one_of("link", link, _LINKS)
    targets = np.asarray(targets, np.float64).reshape(len(targets), -1)
    weights = np.ones(len(targets)) if weights is None else np.asarray(weights, np.float64)
    if not weights.sum() > 0:
        raise complain("weights", "at least one above 0", weights)
    units = np.ones(targets.shape[1])
    if link == "linear":  # in units of their own, so that convergence does not depend on them
        spread = targets.std(axis=0)
        units = np.where(spread > 0, spread, 1.0)
        targets = targets / units
    rotated = _rotation(rows)
    if len(strengths) == 1:
        losses = {}
    elif held_out is not None:
        truth = np.asarray(held_out[1], np.float64).reshape(len(held_out[1]), -1) / units
        losses = _on_others(rotated, targets, weights, link, strengths, held_out[0], truth)
    elif link == "linear" and folds is None and isinstance(rotated, _Reduced) and np.ptp(weights) == 0:
        losses = rotated.left_out(targets, strengths)
    else:
        if folds is None:
            folds = np.random.default_rng(0).permutation(len(targets)) % FOLDS
        losses = _by_folds(rotated, targets, weights, link, strengths, folds)
    if len(strengths) == 1:
        (strength,) = strengths
    else:
        strength = min(losses, key=lambda one: losses[one]) if losses else USUAL_STRENGTH
    # From the beginning, so that a strength that is known leads to the same numbers as one that was chosen.
    ((_, inner, bias),) = _path(rotated, targets, weights, link, [strength])
    kernel, bias = rotated.raw(inner, bias)
    return Solution((kernel * units).astype(np.float32), (bias * units).astype(np.float32), strength, losses)


def loss_of_scores(scores: np.ndarray, targets: np.ndarray, link: str) -> np.ndarray:
    """The loss of each row; scores are what a head computes before its activation."""
    if link == "softmax":
        return np.asarray(-(targets * log_softmax(scores, axis=1)).sum(axis=1))
    if link == "sigmoid":
        return np.asarray((np.logaddexp(0, scores) - targets * scores).sum(axis=1))
    return np.asarray(((scores - targets) ** 2).sum(axis=1) / 2)


_SLOPES = {
    "softmax": lambda scores, targets: softmax(scores, axis=1) * targets.sum(axis=1, keepdims=True) - targets,
    "sigmoid": lambda scores, targets: expit(scores) - targets,
    "linear": lambda scores, targets: scores - targets,
}
_MOST_CURVED = {"softmax": 0.25, "sigmoid": 0.25, "linear": 1.0}


class _Rotation(Protocol):
    """Standardised rows as the solver sees them, perhaps in other coordinates."""

    width: int
    """Number of coordinates."""

    def scaled(self, inner: np.ndarray, curvature: float, strength: float, power: float) -> np.ndarray:
        """The matrix times `(curvature * covariance of the rows + strength) ** power`, or nearly that."""

    def product(self, inner: np.ndarray) -> np.ndarray:
        """Rows times a matrix."""

    def adjoint(self, slopes: np.ndarray) -> np.ndarray:
        """Rows, transposed, times a matrix."""

    def raw(self, inner: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias for features as they are given."""


class _Standardised:
    """Rows that stay where they are; mean and scale are applied to the small matrices beside them."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.mean = np.sum([block.sum(axis=0) for block in _blocks(rows)], axis=0) / len(rows)
        squares = np.sum([((block - self.mean) ** 2).sum(axis=0) for block in _blocks(rows)], axis=0)
        deviation = np.asarray(np.sqrt(squares / len(rows)))
        if not np.all(np.isfinite(deviation)):
            raise ArgumentError(_NOT_FINITE)
        varies = deviation > 1e-6 * np.abs(self.mean)
        usual = np.median(deviation[varies]) if varies.any() else 1.0
        self.scale = np.where(varies, np.maximum(deviation, _LEAST_SCALE * usual), np.inf)
        self.width = len(self.mean)

    @functools.cached_property
    def _sampled(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Variances and directions of a sample of the rows, and the mean variance in all other directions."""
        chosen = np.linspace(0, len(self.rows) - 1, min(_SAMPLE, len(self.rows))).astype(np.int64)
        sample = (np.asarray(self.rows[chosen], np.float64) - self.mean) / self.scale
        values, vectors = np.linalg.eigh(sample @ sample.T)
        kept = values > values[-1] * 1e-6
        directions = sample.T @ (vectors[:, kept] / np.sqrt(values[kept]))
        variances = values[kept] / len(sample)
        rest = max(np.isfinite(self.scale).sum() - variances.sum(), 0.0) / max(self.width - len(variances), 1)
        return variances, directions, float(rest)

    def scaled(self, inner: np.ndarray, curvature: float, strength: float, power: float) -> np.ndarray:
        variances, directions, rest = self._sampled
        outside = (curvature * rest + strength) ** power
        along = (curvature * variances + strength) ** power - outside
        return outside * inner + directions @ (along[:, None] * (directions.T @ inner))

    def product(self, inner: np.ndarray) -> np.ndarray:
        kernel = inner / self.scale[:, None]
        return np.concatenate([block @ kernel for block in _blocks(self.rows)]) - self.mean @ kernel

    def adjoint(self, slopes: np.ndarray) -> np.ndarray:
        total, start = np.zeros((len(self.mean), slopes.shape[1])), 0
        for block in _blocks(self.rows):
            total += block.T @ slopes[start : start + len(block)]
            start += len(block)
        return (total - np.outer(self.mean, slopes.sum(axis=0))) / self.scale[:, None]

    def raw(self, inner: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kernel = inner / self.scale[:, None]
        return kernel, bias - self.mean @ kernel


class _Reduced:
    """Rows rotated so that their coordinates are uncorrelated, and there are no more of them than rows.

    The minimum is a combination of the rows, so that nothing is lost; and since the curvature of the loss is nearly
    diagonal there, it is found in few steps.
    """

    def __init__(self, standardised: _Standardised) -> None:
        self._given = standardised
        rows = ((standardised.rows - standardised.mean) / standardised.scale).astype(np.float32)
        wide = rows.shape[1] > len(rows)
        values, vectors = np.linalg.eigh((rows @ rows.T if wide else rows.T @ rows).astype(np.float64))
        kept = values > max(values[-1], 1e-12) * 1e-6
        roots = np.sqrt(values[kept])
        self._variances = values[kept] / len(rows)
        self.width = len(self._variances)
        self._to_features = rows.T @ (vectors[:, kept] / roots).astype(np.float32) if wide else vectors[:, kept]
        self._rows = vectors[:, kept] * roots if wide else rows @ vectors[:, kept]

    def scaled(self, inner: np.ndarray, curvature: float, strength: float, power: float) -> np.ndarray:
        return np.asarray((curvature * self._variances + strength)[:, None] ** power * inner)

    def product(self, inner: np.ndarray) -> np.ndarray:
        return self._rows @ inner

    def adjoint(self, slopes: np.ndarray) -> np.ndarray:
        return self._rows.T @ slopes

    def raw(self, inner: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._given.raw(self._to_features @ inner, bias)

    def left_out(self, targets: np.ndarray, strengths: Sequence[float]) -> dict[float, float]:
        """The squared error of each row by the fit to all others, in closed form, by strength.

        Reference:
            Golub, Heath & Wahba, "Generalized cross-validation as a method for choosing a good ridge parameter", 1979.
        """
        centred, count = targets - targets.mean(axis=0), len(targets)
        unit = self._rows / np.sqrt(self._variances * count)
        found = {}
        for strength in strengths:
            shrunk = self._variances / (self._variances + strength)
            residuals = centred - (unit * shrunk) @ (unit.T @ centred)
            leverage = (unit**2) @ shrunk + 1 / count
            errors = residuals / np.maximum(1 - leverage, 1e-12)[:, None]
            found[strength] = float((errors**2).sum(axis=1).mean() / 2)
        return found


def _rotation(rows: Any) -> _Rotation:
    standardised = _Standardised(rows)
    small = isinstance(rows, np.ndarray) and min(rows.shape) <= _MOST_REDUCED
    return _Reduced(standardised) if small else standardised


def _path(
    rotated: _Rotation, targets: np.ndarray, weights: np.ndarray, link: str, strengths: Sequence[float]
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """Strength, kernel in the coordinates of the rotation, and bias, one strength after the other."""
    shares = weights / weights.sum()
    outputs = targets.shape[1]
    inner = np.zeros((rotated.width, outputs))
    bias = _bias_alone(shares @ targets, link)
    for strength in strengths:
        # In these units the curvature is about 1 in every direction.
        units = functools.partial(rotated.scaled, curvature=_MOST_CURVED[link], strength=strength)

        def loss(values: np.ndarray, units: Any = units, strength: float = strength) -> tuple[float, np.ndarray]:
            inner, bias = units(values[:-outputs].reshape(-1, outputs), power=-0.5), values[-outputs:]
            scores = rotated.product(inner) + bias
            slopes = shares[:, None] * _SLOPES[link](scores, targets)
            found = shares @ loss_of_scores(scores, targets, link) + strength / 2 * (inner**2).sum()
            inwards = units(rotated.adjoint(slopes) + strength * inner, power=-0.5)
            return float(found), np.concatenate([inwards.ravel(), slopes.sum(axis=0)])

        options = {"maxiter": 1000, "ftol": 1e-10, "gtol": 1e-6}
        begin = np.concatenate([units(inner, power=0.5).ravel(), bias])
        with _one_thread() if isinstance(rotated, _Reduced) else contextlib.nullcontext():
            ended = minimize(loss, begin, jac=True, method="L-BFGS-B", options=options).x
        inner, bias = units(ended[:-outputs].reshape(-1, outputs), power=-0.5), ended[-outputs:]
        yield strength, inner, bias


def _one_thread() -> AbstractContextManager[Any]:
    """Keep the linear algebra in one thread: products of reduced rows take less time than threads to meet."""
    return _linear_algebra().limit(limits=1, user_api="blas")


@functools.cache
def _linear_algebra() -> ThreadpoolController:
    return ThreadpoolController()


def _bias_alone(mean: np.ndarray, link: str) -> np.ndarray:
    """The best bias where all else is 0."""
    if link == "linear":
        return mean
    shares = np.clip(mean, 1e-3, 1 - 1e-3)
    return np.log(shares) if link == "softmax" else np.log(shares / (1 - shares))


def _on_others(
    rotated: _Rotation,
    targets: np.ndarray,
    weights: np.ndarray,
    link: str,
    strengths: Sequence[float],
    others: Any,
    truth: np.ndarray,
) -> dict[float, float]:
    """The mean loss on other rows by strength."""
    losses: dict[float, float] = {}
    for strength, inner, bias in _path(rotated, targets, weights, link, strengths):
        kernel, offset = rotated.raw(inner, bias)
        scores = np.concatenate([block @ kernel for block in _blocks(others)]) + offset
        losses[strength] = float(loss_of_scores(scores, truth, link).mean())
        if not math.isfinite(losses[strength]):
            raise ArgumentError(_NOT_FINITE)
        if _worse(losses):
            break
    return losses


def _by_folds(
    rotated: _Rotation,
    targets: np.ndarray,
    weights: np.ndarray,
    link: str,
    strengths: Sequence[float],
    folds: np.ndarray,
) -> dict[float, float]:
    """The mean loss of rows by the fit to the rows of the other folds, by strength."""
    found = dict.fromkeys(strengths, 0.0)
    counted = dict.fromkeys(strengths, 0)
    for fold in np.unique(folds[folds >= 0]):
        out = folds == fold
        if not weights[~out].sum() > 0:
            continue
        losses: dict[float, float] = {}
        for strength, inner, bias in _path(rotated, targets, np.where(out, 0.0, weights), link, strengths):
            each = loss_of_scores(rotated.product(inner) + bias, targets, link)
            losses[strength] = float(each[out].sum())
            found[strength] += losses[strength] / len(targets)
            counted[strength] += 1
            if _worse(losses):
                break
    whole = max(counted.values())
    return {strength: loss for strength, loss in found.items() if whole and counted[strength] == whole}


def _worse(losses: Mapping[float, float]) -> bool:
    """Whether the last losses were all worse than the best."""
    values = list(losses.values())
    return values.index(min(values)) < len(values) - _PATIENCE


def _blocks(rows: Any) -> Iterator[np.ndarray]:
    """The rows in double precision, a part of them at a time."""
    step = max(1, _BLOCK // (8 * rows.shape[1]))
    for start in range(0, len(rows), step):
        yield np.asarray(rows[start : start + step], np.float64)
