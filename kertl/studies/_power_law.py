"""How an error falls with the number of examples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Slower than the first an error is hardly falling; faster than the last is seen with next to no examples only.
_EXPONENTS = np.linspace(0.05, 1.5, 59)


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = floor + scale * n ** -exponent.

    Attributes:
        floor: The error that no number of examples removes; >= 0.
        scale: >= 0.
        exponent: Between 0.05 and 1.5.

    Reference:
        Cortes, Jackel, Solla, Vapnik & Denker, "Learning Curves: Asymptotic Values and Rate of Convergence", 1993.
        Hestness et al., "Deep Learning Scaling is Predictable, Empirically", 2017. https://arxiv.org/abs/1712.00409
    """

    floor: float
    scale: float
    exponent: float

    def __call__(self, count: float) -> float:
        """The error with this many examples."""
        return float(self.floor + self.scale * count**-self.exponent)

    @classmethod
    def fitted(cls, counts: Sequence[int], errors: Sequence[float]) -> "PowerLaw":
        """The law with the least squares: for each of a series of exponents, the other two parameters are exact.

        Args:
            counts: At least three numbers of examples.
            errors: The error with each.
        """
        best_residual, best = np.inf, cls(0.0, 0.0, float(_EXPONENTS[0]))
        for exponent in _EXPONENTS:
            terms = np.asarray(counts, float) ** -exponent
            floor, scale = _line(terms, np.asarray(errors, float))
            residual = float(np.sum((floor + scale * terms - errors) ** 2))
            if residual < best_residual:
                best_residual, best = residual, cls(floor, scale, float(exponent))
        return best


def _line(terms: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """The floor and the scale, both >= 0, with the least squares."""
    offsets = terms - terms.mean()
    scale = float(offsets @ errors / (offsets @ offsets))
    floor = float(errors.mean() - scale * terms.mean())
    if scale < 0:
        return float(errors.mean()), 0.0
    return (floor, scale) if floor >= 0 else (0.0, float(terms @ errors / (terms @ terms)))
