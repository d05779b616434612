"""Features of the frozen prefix, extracted when a training first needs them and shared by all later ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from kertl.data import ImageDataset
from kertl.features import Features, all_versions, extract
from kertl.hardware import team_of
from kertl.recipe import Stage
from kertl.training._learner import Learner


class Values(Protocol):
    """Where the features that a stage trains on come from."""

    cache_dir: str | Path | None

    def values(self, stage: Stage, part: ImageDataset, *, views: int = 0, in_memory: bool | None = None) -> Any:
        """As `FeaturePool.values`."""


class FeaturePool:
    """Features of a learner in its present state, at any boundary and size.

    Args:
        learner: The learner, with the weights that the features are computed with.
        seed: Seed of augmented versions; >= 0.
        precision: The precision they are computed in.
        cache_dir: Where they are cached in files; None caches them in memory only.
        engine: The engine that computes them, as in `kertl.extract`.
        note: Called with each new extraction.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        seed: int,
        precision: str = "float32",
        cache_dir: str | Path | None = None,
        engine: str = "auto",
        note: Callable[[Features], None] | None = None,
    ) -> None:
        self.learner, self.cache_dir = learner, cache_dir
        self._seed, self._precision, self._engine, self._note = seed, precision, engine, note
        self._values: dict[tuple[Any, ...], Any] = {}
        self._columns: dict[tuple[int, int, int], np.ndarray] = {}
        self._engines: dict[tuple[Any, ...], str] = {}

    def values(self, stage: Stage, part: ImageDataset, *, views: int = 0, in_memory: bool | None = None) -> Any:
        """All versions of the features of some images, as `kertl.features.all_versions` gives them.

        Args:
            stage: The boundary and the augmentation.
            part: The images, at the size of the stage.
            views: How many augmented versions of each; 0 for the plain images.
            in_memory: Whether they are held in memory; None decides: if they take at most half of what is free.
        """
        first = self.learner.first_trained(stage)
        augment = stage.augment if views else "none"
        key = (first, part.image_size, repr(augment), views, tuple(part.files))
        if key not in self._values:
            boundary = (first, part.image_size)
            team = team_of(self.learner.model)
            # Versions are drawn for batches of all images, so that each process makes all of them.
            share = team.size > 1 and not views and part.num_examples >= team.size
            found = extract(
                self.learner.at_size(part.image_size).model,
                part.subset(np.array_split(np.arange(part.num_examples), team.size)[team.index]) if share else part,
                at=stage.at,
                augment=augment,
                views=views,
                seed=self._seed,
                engine=self._engines.get(boundary, self._engine),
                precision=self._precision,
                cache_dir=self.cache_dir,
            )
            self._engines[boundary] = found.engine
            if self._note is not None:
                self._note(found)
            values = all_versions(found, in_memory or share)
            self._values[key] = keras.tree.map_structure(team.rows_of_all, values) if share else values
        return self._values[key]

    def columns(self, values: np.ndarray, columns: slice) -> np.ndarray:
        """Some columns of features from `values`; the same array when asked again."""
        key = (id(values), columns.start, columns.stop)
        if key not in self._columns:
            self._columns[key] = np.ascontiguousarray(values[:, columns])
        return self._columns[key]
