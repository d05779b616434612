"""What all trials share: backbones, which none of them changes, and features, which are extracted once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from kertl._checks import check_cache_dir, complain
from kertl.backbones import MODEL_SUFFIXES, load_backbone
from kertl.data import ImageData, ImageDataset
from kertl.groups import drawing_from, with_other_head
from kertl.heads import Head
from kertl.model import at_size
from kertl.recipe import Stage
from kertl.run_files import sha256_of_arrays
from kertl.training import FeaturePool, Learner, head_for, with_head


class Shared:
    """Backbones by name, and their features.

    Args:
        backbones: Names for `kertl.load_backbone`, or models, whose own names are taken.
        data: The images.
        weights: Weights of the backbones given by name.
        cache_dir: Where features are cached for other processes and searches; None caches them in memory only.
        seed: Seed of augmented versions.
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
        self.cache_dir: str | Path | None = check_cache_dir(cache_dir)
        self._data, self._seed = data, seed
        # All at the start, so that an unknown name or missing weights do not come up hours later.
        self._backbones: dict[str, Any] = {
            name: source if hasattr(source, "backbone_name") else self._loaded(source, weights)
            for name, source in zip(self.names, backbones, strict=True)
        }
        self._learners: dict[tuple[str, Head], Learner] = {}
        self._pools: dict[tuple[str, Head, str], FeaturePool] = {}

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each backbone's weights, by name."""
        return {name: sha256_of_arrays(model.get_weights()) for name, model in self._backbones.items()}

    def pooled(self, name: str, pooling: Head) -> Learner:
        """A backbone with a pooling after it, and with a head that only marks the boundary."""
        if (name, pooling) not in self._learners:
            if name not in self._backbones:
                raise complain("backbone", f"one of {list(self.names)}", name)
            backbone = at_size(self._backbones[name], self._data.image_size)
            model = with_head(backbone, self._data, pooling)
            self._learners[name, pooling] = Learner.of(model, self._data.task)
        return self._learners[name, pooling]

    def learner(self, name: str, head: Head, seed: int) -> Learner:
        """A backbone with a newly drawn head; the layers of the backbone are the shared ones."""
        pooled = self.pooled(name, head.only_pooling)
        with drawing_from(seed):
            inputs = keras.Input((self.width(name, head.only_pooling),), name="pooled_features")
            model = keras.Model(inputs, head_for(inputs, self._data, head), name="head")
        scaling = self._data.target_scaling
        return Learner(with_other_head(pooled.chain, model), pooled.task, None if scaling is None else scaling[1])

    def width(self, name: str, pooling: Head) -> int:
        """How many numbers a head is given."""
        chain = self.pooled(name, pooling).chain
        (crossing,) = chain.crossing(len(chain.backbone_groups))
        return int(chain.graph.shapes[crossing][-1] or 0)

    def pool(self, name: str, pooling: Head, precision: str) -> FeaturePool:
        """The features of a backbone with a pooling after it."""
        key = (name, pooling, precision)
        if key not in self._pools:
            learner = self.pooled(name, pooling)
            self._pools[key] = FeaturePool(learner, seed=self._seed, precision=precision, cache_dir=self.cache_dir)
        return self._pools[key]

    def _loaded(self, source: str | keras.Model, weights: str | Path | None) -> keras.Model:
        trained = isinstance(source, keras.Model) or source.endswith(MODEL_SUFFIXES)
        given: dict[str, Any] = {} if trained else {"weights": weights}
        with drawing_from(self._seed):  # random weights are the same in every process
            return load_backbone(source, input_shape=(*self._data.image_size, self._data.channels), **given)


class PooledFeatures:
    """The features that the trials with one backbone and one pooling need; one extraction serves as many as possible.

    Of the last depth alone they are the same for all kinds of pooling before it, and after it averages and maxima are
    extracted together.

    Args:
        shared: The backbones.
        name: The backbone.
        pooling: A head with nothing but the pooling.
        precision: The precision that features are computed in.
    """

    def __init__(self, shared: Shared, name: str, pooling: Head, precision: str) -> None:
        self._shared, self._key, self.cache_dir = shared, (name, pooling, precision), shared.cache_dir

    def values(self, stage: Stage, part: ImageDataset, *, views: int = 0, in_memory: bool | None = None) -> Any:
        """As `FeaturePool.values`."""
        name, pooling, precision = self._key
        learner = self._shared.pooled(name, pooling)
        alone = learner.first_trained(stage) == len(learner.chain.backbone_groups)
        several = pooling.depths != "last" or (alone and pooling.pooling not in ("avg", "max"))
        if several or (alone and in_memory is not True):
            return self._shared.pool(name, pooling, precision).values(stage, part, views=views, in_memory=in_memory)
        both = self._shared.pool(name, Head(pooling="both" if alone else "avg"), precision)
        values = both.values(stage, part, views=views, in_memory=in_memory)
        if not alone:
            return values
        width = self._shared.width(name, pooling)
        return both.columns(values, slice(0, width) if pooling.pooling == "avg" else slice(width, 2 * width))
