"""The learning-rate range test of a stage: on features, extracted once, where something is frozen."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl.data import Epochs, ImageData
from kertl.features import extract, feature_batches
from kertl.groups import find_chain
from kertl.model import cut, flags_kept, model_info, set_model_info, set_trainable
from kertl.range_test import RangeTest, lr_range_test


def stage_range_test(
    model: keras.Model,
    data: ImageData,
    *,
    at: str | int = "deep",
    repeats: int = 1,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    **ramp: Any,
) -> RangeTest:
    """At which rates does what lies behind a boundary learn from these images, as they are, without augmentation?

    The frozen part runs once over the training images, and what it gives serves all runs. The model is afterwards as
    before.

    Args:
        model: A classifier or regressor, as `kertl.build` gives it.
        data: Its images.
        at: The boundary, as in `kertl.split`.
        repeats: As in `kertl.lr_range_test`, and so the rest.
        seed: Of dropout; >= 0.
        cache_dir: Where features are kept, as in `kertl.extract`.
        **ramp: `start`, `end`, `steps` and the like.

    Raises:
        ValueError: If there is no such boundary, or an argument is out of range.

    Example:
        >>> import numpy as np, kertl
        >>> from kertl.studies import stage_range_test
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> model = kertl.build("MobileNetV2", class_names=data.class_names, weights=None, input_shape=(32, 32, 3))
        >>> len(stage_range_test(model, data, repeats=2, steps=20).runs)
        2
    """
    chain = find_chain(model)
    first = chain.first_trained(at)
    with flags_kept(model):
        set_trainable(model, chain, first, "frozen")
        _, suffix = cut(chain, first)
        info = model_info(model)
        if info is not None:
            set_model_info(suffix, info)
        batches: Epochs = data.train
        if first:
            features = extract(model, data.train, at=at, cache_dir=cache_dir)
            batches = feature_batches(features.values, np.asarray(data.train.labels), data.batch_size, data.train.seed)
        return lr_range_test(suffix, batches, repeats=repeats, seed=seed, **ramp)
