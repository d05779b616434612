"""The learning-rate range test of a stage: of the very model, and on the very batches, that the stage would train."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import check_cache_dir, integer
from kertl.data import ImageData, check_image_data
from kertl.hardware import scope_of
from kertl.model import flags_kept
from kertl.range_test._ramp import Ramp
from kertl.range_test._result import RangeTest
from kertl.range_test._run import lr_range_test
from kertl.recipe import Recipe, Stage
from kertl.training import (
    FeaturePool,
    Given,
    Learner,
    Material,
    OnFeatures,
    OnImages,
    StageFit,
    choose,
    factors_added,
    refuse_unsupported,
    refuse_without_low_rank,
    refuse_without_recomputable,
    trial_fit,
    usual_stage,
)


def suggested_rate(fit: StageFit, material: Material, *, seed: int) -> float | None:
    """What the range test suggests for a compiled stage and its training data; None if no loss falls."""
    return _tested(fit, material, seed=seed).suggestion


def stage_range_test(
    model: keras.Model,
    data: ImageData,
    stage: Stage | str | int = "deep",
    *,
    precision: str = "float32",
    repeats: int = 1,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    **ramp: Any,
) -> RangeTest:
    """At which learning rates does a stage learn from these images?

    The test uses what `kertl.fine_tune` trains in that stage: the same model, loss, optimizer, augmentation, cached
    features and class weights. With `repeats=1` the suggestion is the one that a first stage with
    `learning_rate="auto"` uses. The model is restored afterwards.

    Args:
        model: A classifier or regressor, such as from `kertl.build`.
        data: Its images.
        stage: The stage, whose own learning rate does not matter; or a boundary, as in `kertl.split`, which stands for
            the stage of the named recipes there.
        precision: The precision that layers compute in, as in `kertl.Recipe`.
        repeats: As in `kertl.lr_range_test`.
        seed: Seed of dropout and augmentation; >= 0.
        cache_dir: Where features are cached, as in `kertl.extract`.
        **ramp: `start`, `end`, `steps` and the like, as in `kertl.lr_range_test`.

    Raises:
        ValueError: If there is no such boundary, or an argument is out of range.

    Example:
        >>> import numpy as np, kertl
        >>> from kertl.range_test import stage_range_test
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> model = kertl.build("MobileNetV2", class_names=data.class_names, weights=None, input_shape=(32, 32, 3))
        >>> len(stage_range_test(model, data, "deep", repeats=2, steps=20).runs)
        2
    """
    check_image_data(data)
    Ramp(**ramp)  # refuses what is out of range
    integer("repeats", repeats, at_least=1)
    check_cache_dir(cache_dir)
    whole = Learner.of(model, data.task)
    stage = stage if isinstance(stage, Stage) else usual_stage(whole.chain, stage)
    refuse_unsupported(Recipe(stages=[stage]), "a range test")
    refuse_without_low_rank(whole.chain, stage)
    refuse_without_recomputable(whole.chain, stage)
    with scope_of(model), flags_kept(model), factors_added(whole.chain, stage, seed):
        learner, given = whole.at_size(stage.image_size), Given(data).in_stage(stage)
        choice = choose(learner, given, stage, cache_dir=cache_dir)
        on_features = choice["features"] != "live"
        fit = trial_fit(learner, stage, on_features=on_features, precision=precision)
        material: Material
        if on_features:
            pool = FeaturePool(whole, seed=seed, precision=precision, cache_dir=cache_dir)
            material = OnFeatures.of(fit.fitter, pool, given, stage, choice["features"] == "memory")
        else:
            material = OnImages(fit.model, given, stage)
        start = {id(v): np.array(keras.ops.convert_to_numpy(v)) for v in model.weights} if stage.l2_sp else {}
        with fit.training(start):
            return _tested(fit, material, seed=seed, repeats=repeats, **ramp)


def _tested(fit: StageFit, material: Material, **options: Any) -> RangeTest:
    return lr_range_test(fit.model, material.train, class_weight=material.class_weight, **options)
