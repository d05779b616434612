"""Feature vectors at several depths of a backbone, from one pass over the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain, names
from kertl.data import ImageDataset
from kertl.features import extract
from kertl.groups import Chain, LayerGroup, find_chain


@dataclass(frozen=True)
class Depth:
    """A boundary, the stage that begins there, and the position of its vector among those of all depths."""

    boundary: str
    """Name of the group whose end it is."""
    at: str
    """The `at` of a stage that trains what comes after it."""
    columns: slice
    """Where its features are."""


class Depths:
    """The boundaries of a model, pooled to vectors.

    Args:
        model: A backbone or a classifier, whose head is left out.
        boundaries: Names of the layer groups at whose ends to look, or "deep" or "mid"; by default the main boundaries.

    Raises:
        ValueError: If there is no such group.
    """

    def __init__(self, model: keras.Model, boundaries: Sequence[str] | None) -> None:
        chain = find_chain(model)
        groups = chain.backbone_groups
        self._model, sizes = _pooled(chain, model, [groups.index(group) for group in _chosen(chain, boundaries)])
        found, start = [], 0
        for number, size in sizes.items():
            following = groups[number + 1].name if number + 1 < len(groups) else "deep"
            found.append(Depth(groups[number].name, following, slice(start, start + size)))
            start += size
        self.depths: tuple[Depth, ...] = tuple(found)
        """From the input to the end."""

    def vectors(self, images: ImageDataset, cache_dir: str | Path | None) -> np.ndarray:
        """The features of all depths side by side, a row per image."""
        return np.asarray(extract(self._model, images, at="deep", cache_dir=cache_dir).values, np.float32)


def _chosen(chain: Chain, boundaries: Sequence[str] | None) -> list[LayerGroup]:
    groups = chain.backbone_groups
    if boundaries is None:
        return [group for group in groups if group.boundary == "main"]
    begins = {at: chain.first_trained(at) for at in ("deep", "mid")}
    ends = {at: groups[number - 1] for at, number in begins.items() if number}
    ends |= {group.name: group for group in groups}
    accepted = f"a list of names among {', '.join(map(repr, ends))}"
    given = names("boundaries", boundaries, accepted)
    if not given or not set(given) <= ends.keys():
        raise complain("boundaries", accepted, boundaries)
    wanted = [ends[name] for name in given]
    return [group for group in groups if group in wanted]


def _pooled(chain: Chain, model: keras.Model, numbers: Sequence[int]) -> tuple[keras.Model, dict[int, int]]:
    """A model from the images to the pooled features after the given groups, and the number of features of each."""
    inputs = tensors = keras.Input(model.input_shape[1:], dtype=chain.graph.input_dtype, name="images")
    vectors, done = {}, 0
    for number in numbers:
        tensors = chain.piece(done, number + 1, name=f"to_{chain.groups[number].name}")(tensors)
        done = number + 1
        parts = tensors if isinstance(tensors, list) else [tensors]
        vectors[number] = [_mean(part) for part in parts]
    flat = [vector for parts in vectors.values() for vector in parts]
    joined = keras.layers.Concatenate(name="features_by_depth")(flat) if len(flat) > 1 else flat[0]
    sizes = {number: sum(vector.shape[-1] for vector in parts) for number, parts in vectors.items()}
    return keras.Model(inputs, joined, name=f"{chain.model_name}_depths"), sizes


def _mean(features: Any) -> Any:
    """Feature maps or tokens averaged to vectors; vectors unchanged."""
    rank = len(features.shape)
    if rank == 4:
        return keras.layers.GlobalAveragePooling2D()(features)
    return keras.layers.GlobalAveragePooling1D()(features) if rank == 3 else features
