"""What all trials share: backbones, which none of them changes, and features, which are extracted once."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl.backbones import MODEL_SUFFIXES, load_backbone
from kertl.data import ImageData, ImageDataset
from kertl.features import all_versions, extract
from kertl.groups import Chain, find_chain
from kertl.heads import Head
from kertl.model import at_size
from kertl.recipe import Stage
from kertl.studies import drawing_from, with_head


@dataclasses.dataclass(frozen=True)
class Pooled:
    """A backbone at one size with one kind of pooling behind it, and a head that is there to mark the boundary."""

    model: keras.Model
    """All of it; its layers are the shared ones."""

    @functools.cached_property
    def chain(self) -> Chain:
        """Its layer groups."""
        return find_chain(self.model)

    @property
    def end(self) -> int:
        """The number of groups of the backbone with its pooling."""
        return len(self.chain.backbone_groups)

    @property
    def width(self) -> int:
        """How many numbers the head is given."""
        (pooled,) = self.chain.crossing(self.end)
        return int(self.chain.graph.shapes[pooled][-1] or 0)


class Shared:
    """Backbones by name, and their features.

    Args:
        backbones: Names for `kertl.load_backbone`, or models, whose own names are taken.
        data: The images.
        weights: Of the backbones that are names of pretrained ones.
        cache_dir: Where features are kept for other processes and searches; None keeps them in memory alone.
        seed: Of augmented versions.
    """

    def __init__(
        self,
        backbones: Sequence[str | keras.Model],
        data: ImageData,
        weights: str | Path | None,
        cache_dir: str | Path | None,
        seed: int,
    ) -> None:
        if isinstance(backbones, str) or not all(isinstance(one, (str, keras.Model)) for one in backbones):
            raise complain("backbones", "a list of names and Keras models", backbones)
        self.names = tuple(
            one if isinstance(one, str) else getattr(one, "backbone_name", one.name) for one in backbones
        )
        if not self.names or len(set(self.names)) < len(self.names):
            raise complain("backbones", "a list of at least one, each with a name of its own", list(self.names))
        self._data, self._cache_dir, self._seed = data, cache_dir, seed
        # All at the start, so that a name that there is not, or weights that cannot be had, do not come up hours later.
        self._backbones = {
            name: source if hasattr(source, "backbone_name") else self._loaded(source, weights)
            for name, source in zip(self.names, backbones, strict=True)
        }
        self._pooled: dict[tuple[Any, ...], Pooled] = {}
        self._values: dict[tuple[Any, ...], Any] = {}

    def pooled(self, name: str, image_size: tuple[int, int], pooling: str) -> Pooled:
        """A backbone with a pooling behind it."""
        key = (name, image_size, pooling)
        if key not in self._pooled:
            if name not in self._backbones:
                raise complain("backbone", f"one of {list(self.names)}", name)
            backbone = at_size(self._backbones[name], image_size)
            self._pooled[key] = Pooled(with_head(backbone, self._data, Head(pooling=pooling)))
        return self._pooled[key]

    def frozen(self, name: str, image_size: tuple[int, int], pooling: str, stage: Stage) -> Pooled:
        """Where a stage's features come from: for a head alone, one extraction serves average, maximum and both."""
        own = self.pooled(name, image_size, pooling)
        alone = own.chain.first_trained(stage.at) == own.end
        return self.pooled(name, image_size, "both") if alone and pooling in ("avg", "max") else own

    def values(self, name: str, pooling: str, stage: Stage, parts: Sequence[ImageDataset], *, views: int = 0) -> Any:
        """The features of one part of the data, or of several joined, extracted when they are first asked for.

        Args:
            name: The backbone.
            pooling: The head's pooling.
            stage: The boundary and the augmentation.
            parts: The images, at the stage's size.
            views: How many augmented versions of each; 0 for the plain images.
        """
        source = self.frozen(name, parts[0].image_size, pooling, stage)
        first = source.chain.first_trained(stage.at)
        augment = stage.augment if views else "none"
        behind = "" if first < source.end else "both" if pooling in ("avg", "max") else pooling
        files = tuple(file for part in parts for file in part.files)
        key = (name, parts[0].image_size, first, behind, repr(augment), views, files)
        if key not in self._values:
            found = [
                extract(
                    source.model,
                    part,
                    at=stage.at,
                    augment=augment,
                    views=views,
                    seed=self._seed,
                    cache_dir=self._cache_dir,
                )
                for part in parts
            ]
            arrays = [all_versions(features, in_memory=True if len(parts) > 1 else None) for features in found]
            together = functools.partial(_joined, versions=max(1, views))
            self._values[key] = keras.tree.map_structure(together, *arrays) if len(parts) > 1 else arrays[0]
        return self._values[key]

    def _loaded(self, source: str | keras.Model, weights: str | Path | None) -> keras.Model:
        trained = isinstance(source, keras.Model) or source.endswith(MODEL_SUFFIXES)
        given: dict[str, Any] = {} if trained else {"weights": weights}
        with drawing_from(self._seed):  # weights that are drawn are the same in every process
            return load_backbone(source, input_shape=(*self._data.image_size, 3), **given)


def _joined(*arrays: np.ndarray, versions: int) -> np.ndarray:
    """The images of several parts, all in the first version, then all in the second one, and so on."""
    apart = [array.reshape(versions, -1, *array.shape[1:]) for array in arrays]
    return np.concatenate(apart, axis=1).reshape(-1, *arrays[0].shape[1:])
