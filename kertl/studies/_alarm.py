"""`alarm`: whether new images are like those that a model was tried on, in production."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._checks import LARGEST_SEED, check_cache_dir, integer, number
from kertl._terminal import shortened
from kertl.probes import Depths
from kertl.results import Result
from kertl.studies._domain import domain_images
from kertl.studies._shift import farthest_of
from kertl.studies._shift_result import Far
from kertl.studies._two_samples import Components, mmd_test

_PERMUTATIONS = 999


@dataclasses.dataclass(frozen=True, repr=False)
class Alarm(Result):
    """What `alarm` found.

    Attributes:
        p_value: Of a permutation test with the MMD on the features at the last boundary, whether the new images differ
            from the reference.
        level: The alarm is raised at p-values up to it: the share of false alarms where nothing has changed.
        images: Number of images of the reference and of new ones.
        farthest: The new images that are farthest from the reference, the farthest first.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("raised",)

    p_value: float
    level: float
    images: tuple[int, int]
    farthest: tuple[Far, ...]

    @property
    def raised(self) -> bool:
        """Whether the new images differ from the reference."""
        return self.p_value <= self.level

    def table(self) -> str:
        """The verdict in words."""
        of = f"{self.images[1]:,} images against {self.images[0]:,} of the reference, p = {self.p_value:.3f}"
        if not self.raised:
            return f"No shift is seen: {of}."
        shown = ", ".join(f"{shortened(far.file)} ({far.distance:.1f})" for far in self.farthest)
        return (
            f"Shift: these images differ from what the model was tried on ({of}; false alarms in {self.level:.1%} of "
            f"unchanged samples).\nFarthest, in median distances of the reference: {shown}.\n"
            "`kertl shift` shows where it begins, `kertl adapt` what can be done."
        )


def alarm(
    model: keras.Model,
    reference: Any,
    images: Any,
    *,
    level: float = 0.01,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Alarm:
    """Whether images differ from a reference, by what the head of a model sees of them.

    The reference should be images that the model was not trained on, such as a validation set: to a network that was
    fine-tuned, training images look otherwise than others from the same camera.

    Args:
        model: A classifier or a backbone.
        reference: At least 10 images, as in `kertl.shift`.
        images: The new ones, at least 10. They are tested as one sample: a shift of a few among them goes unnoticed.
        level: Largest p-value at which the alarm is raised; >= 0.001 and <= 0.5.
        seed: Seed of the permutations; 0 <= seed <= 4,000,000,000.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Raises:
        DataError: If there are fewer than 10 images, or they do not fit the model.
        ValueError: If an argument is outside its range.

    Example:
        >>> import keras, numpy as np, kertl
        >>> random = np.random.default_rng(0)
        >>> usual, new = (random.integers(0, 200, (40, 16, 16, 3), dtype="uint8") for _ in range(2))
        >>> model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3, activation="relu")])
        >>> kertl.studies.alarm(model, usual, new).raised, kertl.studies.alarm(model, usual, new + 50).raised
        (False, True)
    """
    number("level", level, at_least=1 / (_PERMUTATIONS + 1), at_most=0.5)
    integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    check_cache_dir(cache_dir)
    depths = Depths(model, ["deep"])
    parts = [domain_images(name, model, data) for name, data in (("reference", reference), ("images", images))]
    a, b = (depths.vectors(part, cache_dir) for part in parts)
    components = Components(a, b)
    _, p_value = mmd_test(components(a), components(b), np.random.default_rng(seed), _PERMUTATIONS)
    return Alarm(
        p_value=p_value,
        level=level,
        images=(len(a), len(b)),
        farthest=farthest_of(a, b, parts[1].files, 3, seed),
    )
