"""Maps from the features of the target to those of the source, in closed form.

A map is `rows @ matrix + offset`, so that it folds into the Dense layer after it: the model stays what it was.
"""

import dataclasses

import numpy as np

_FLOOR = 0.05
"""Added to standard deviations, as a share of the usual one, so that a feature that hardly ever fires is left alone."""
_MOST_SCALE = 3.0


@dataclasses.dataclass(frozen=True)
class FeatureMap:
    """An affine map of features: `rows @ matrix + offset`."""

    matrix: np.ndarray
    """Shape `(features, features)`, or `(features,)` for a diagonal one."""
    offset: np.ndarray
    """Shape `(features,)`."""

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        moved = rows * self.matrix if self.matrix.ndim == 1 else rows @ self.matrix
        return np.asarray(moved + self.offset)

    def folded(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of a Dense layer that gives for features what the given one gives for mapped features."""
        moved = self.matrix[:, None] * kernel if self.matrix.ndim == 1 else self.matrix @ kernel
        return moved, self.offset @ kernel + bias


def aligned(
    source: np.ndarray,
    target: np.ndarray,
    *,
    source_weights: np.ndarray | None = None,
    target_weights: np.ndarray | None = None,
) -> FeatureMap:
    """The map that gives each feature of the target the mean and standard deviation that it has in the source.

    The standard deviation changes by a factor of 3 at most.

    Args:
        source: Features, shape `(n, features)`.
        target: Features, shape `(m, features)`.
        source_weights: Weight of each row of the source, shape `(n,)`, such as those that give its classes the shares
            that they have in the target; all equal by default.
        target_weights: The same for the target, shape `(m,)`.

    Example:
        >>> import numpy as np
        >>> from kertl.adaptation import aligned
        >>> random = np.random.default_rng(0)
        >>> source, target = random.normal(5, 1, (50, 2)), random.normal(0, 2, (50, 2))
        >>> bool(np.allclose(aligned(source, target)(target).mean(axis=0), source.mean(axis=0)))
        True
    """
    mean, spread = _moments(source, source_weights)
    other_mean, other = _moments(target, target_weights)
    floor = max(_FLOOR * float(np.median(spread)), 1e-12)
    scale = np.clip((spread + floor) / (other + floor), 1 / _MOST_SCALE, _MOST_SCALE)
    return FeatureMap(scale, mean - other_mean * scale)


def _moments(rows: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each feature."""
    rows = rows.astype(np.float64)
    mean = np.average(rows, axis=0, weights=weights)
    return mean, np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weights))


def coral(source: np.ndarray, target: np.ndarray, *, regularisation: float = 1.0) -> FeatureMap:
    """The map that gives the target the covariance of the source too: CORAL.

    Features are aligned and taken in standard deviations of the source first; the covariances then get
    `regularisation` times the identity, as in the paper, which maps the source instead and trains the classifier anew.

    Args:
        source: Features, shape `(n, features)`.
        target: Features, shape `(m, features)`.
        regularisation: > 0.

    Reference:
        Sun, Feng & Saenko, "Return of Frustratingly Easy Domain Adaptation", 2016. https://arxiv.org/abs/1511.05547
    """
    first = aligned(source, target)
    mean, spread = source.mean(axis=0, dtype=np.float64), source.std(axis=0, dtype=np.float64)
    spread = np.where(spread > 1e-12, spread, 1.0)
    whitened = _power((first(target) - mean) / spread, regularisation, -0.5)
    coloured = _power((source - mean) / spread, regularisation, 0.5)
    rotation = whitened @ coloured * (spread / spread[:, None])
    return FeatureMap(first.matrix[:, None] * rotation, (first.offset - mean) @ rotation + mean)


def _power(rows: np.ndarray, regularisation: float, power: float) -> np.ndarray:
    """A power of the covariance of rows plus a multiple of the identity."""
    covariance = np.cov(rows.T).reshape(rows.shape[1], -1)
    values, vectors = np.linalg.eigh(covariance + regularisation * np.eye(len(covariance)))
    return np.asarray((vectors * values**power) @ vectors.T)
