"""What maps of places share: their size, and the check that they show what was learnt."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from PIL import Image
from scipy.stats import rankdata

SHUFFLES = 4
MOST_ALIKE = 0.7
"""Mean rank correlation with the maps of shuffled weights from which on maps are not shown."""


class NothingToShowError(ValueError):
    """The maps of a model would explain nothing."""


def alike_when_shuffled(
    maps: Sequence[np.ndarray], again: Callable[[], Sequence[np.ndarray]], variables: Sequence[Any]
) -> float:
    """The mean rank correlation of maps with those that are made again with some weights shuffled.

    Reference:
        Adebayo et al., "Sanity Checks for Saliency Maps", 2018. https://arxiv.org/abs/1810.03292
    """
    found = []
    for seed in range(SHUFFLES):
        with _Shuffled(variables, seed):
            found.append(_alike(maps, again()))
    return float(np.mean(found))


def as_grid(contributions: np.ndarray) -> np.ndarray:
    """Contributions by place, shape `(n, height, width)`; tokens are put into a square, a class token is left out."""
    if contributions.ndim == 3:
        return contributions
    tokens = contributions.shape[1]
    side = int(np.sqrt(tokens))
    return contributions[:, tokens - side**2 :].reshape(-1, side, side)


def resized(grid: np.ndarray, side: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    """A grid at another size."""
    return np.asarray(Image.fromarray(grid.astype(np.float32)).resize((side[1], side[0]), how))


def to_size(grid: np.ndarray, side: tuple[int, int]) -> np.ndarray:
    found = np.maximum(resized(grid, side, Image.Resampling.BICUBIC), 0)
    return np.asarray(found / found.max() if found.max() > 0 else found)


def _alike(maps: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    """The mean rank correlation of pairs of maps; 0 where one of a pair says nothing."""
    return float(np.mean([_correlation(one.ravel(), other.ravel()) for one, other in zip(maps, others, strict=True)]))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    ranks = rankdata(one), rankdata(other)
    return float(np.corrcoef(*ranks)[0, 1]) if np.ptp(ranks[0]) and np.ptp(ranks[1]) else 0.0


class _Shuffled:
    """Shuffles some weights, and restores them."""

    def __init__(self, variables: Sequence[Any], seed: int) -> None:
        self._seed = seed
        self._variables = list({id(variable): variable for variable in variables}.values())
        self._values = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self._variables]

    def __enter__(self) -> None:
        random = np.random.default_rng(self._seed)
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(random.permutation(value.ravel()).reshape(value.shape))

    def __exit__(self, *error: object) -> None:
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
