"""Stages that vary, mix and balance their images: exact after a kill, and the same on features where they can be."""

import dataclasses

import numpy as np
import pytest

import kertl
from kertl.data import augment
from tests.families import small_backbone
from tests.marks import promised
from tests.runner.test_kept import go
from tests.runner.test_resume import Kill, Killed
from tests.runs import digest, quick, recipe, squares

EVERYTHING = quick("mid", epochs=2, augment=list(augment.TRANSFORMATIONS), cutmix=1.0, mixup=0.2, oversample=True)


def uneven(**options):
    """Fewer of the later classes."""
    whole = squares(16, validation=0, test=0)
    pictures = np.concatenate([whole.train.in_order().batch(0, number)[0] for number in range(len(whole.train))])
    labels = np.asarray(whole.train.labels)
    rows = np.concatenate([np.flatnonzero(labels == one)[:count] for one, count in enumerate((16, 8, 4))])
    options = {"validation": 0.25, "test": 0.25, "batch_size": 8, "class_names": whole.class_names, **options}
    return kertl.data.from_arrays(pictures[rows], labels[rows], **options)


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_with_every_transformation_goes_on_in_mid_epoch_to_the_same_bits(tmp_path):
    options = {"recipe": recipe(EVERYTHING), "data": uneven()}
    whole = go(tmp_path / "whole", **options)
    with pytest.raises(Killed):
        go(tmp_path / "killed", Kill(["on_train_batch_end"], 2), **options)
    with pytest.raises(Killed):
        go(tmp_path / "killed", Kill(["on_train_batch_end"], 3), seed=2, **options)
    run = go(tmp_path / "killed", seed=3, **options)
    assert digest(run.model) == digest(whole.model)
    assert run.history == whole.history
    assert (tmp_path / "whole" / "recipe.json").read_text() == (tmp_path / "killed" / "recipe.json").read_text()


@pytest.mark.promise
@pytest.mark.slow
def test_a_list_of_transformations_makes_the_versions_that_are_kept():
    ends = [
        go(recipe=recipe(quick(cache=True, views=1, augment=chosen)))
        for chosen in (["rand_augment", "color_jitter"],) * 2 + (["rand_augment"],)
    ]
    assert digest(ends[0].model) == digest(ends[1].model)
    assert digest(ends[0].model) != digest(ends[2].model)


@pytest.mark.promise
@pytest.mark.slow
def test_cutmix_trains_on_images_and_is_judged_by_plain_ones():
    stage = quick("mid", epochs=8, cache="auto", cutmix=1.0)
    cut, plain = (go(recipe=recipe(dataclasses.replace(stage, cutmix=alpha))) for alpha in (1.0, 0.0))
    assert cut.history["loss"][-1] > plain.history["loss"][-1], "pieces of others cannot be told for sure"
    assert cut.history["val_accuracy"][-1] > 0.6


def test_cutmix_in_a_regression_is_refused():
    pictures = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype="uint8")
    data = kertl.data.from_arrays(pictures, np.arange(16.0), task="regression", class_names=["size"])
    model = kertl.build(small_backbone(), class_names=["size"], task="regression", target_scaling=data.target_scaling)
    with pytest.raises(ValueError, match=r"^`cutmix` must be 0 .* cutmix=0\.5\..*`mixup`"):
        kertl.fine_tune(model, data, recipe=recipe(quick(cutmix=0.5)), verbose=0)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("balance", [{"oversample": True}, promised({"class_weights": "effective"})], ids=str)
def test_what_is_done_about_rare_classes_is_the_same_on_features_as_on_images(balance):
    ends = []
    for cache in (True, False):
        stage = quick("mid", epochs=3, cache=cache, learning_rate=0.003, **balance)
        ends.append(go(recipe=recipe(stage), data=uneven()))
    if "oversample" in balance:
        alone = dataclasses.replace(stage, oversample=False, cache=True)
        assert digest(go(recipe=recipe(alone), data=uneven().oversampled()).model) == digest(ends[0].model)
    for name in ("loss", "val_loss", "learning_rate"):
        np.testing.assert_allclose(ends[0].history[name], ends[1].history[name], rtol=1e-4)
    for one, other in zip(ends[0].model.get_weights(), ends[1].model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_oversampled_versions_take_turns_and_the_schedule_knows_the_longer_epoch():
    stage = quick(epochs=4, cache=True, views=2, augment="light", oversample=True, schedule="cosine")
    run = go(recipe=recipe(stage), data=uneven())
    assert run.history["learning_rate"] == pytest.approx([0.01 * (1 + np.cos(np.pi * k / 4)) / 2 for k in (1, 2, 3, 4)])


def test_oversampling_is_refused_before_training_where_images_have_no_single_class(tmp_path):
    data = kertl.data.from_arrays(
        np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype="uint8"),
        np.array([[1, number % 2] for number in range(16)]),
        task="multi_label",
        class_names=["a", "b"],
    )
    model = kertl.build(small_backbone(), class_names=data.class_names, task="multi_label")
    with pytest.raises(ValueError, match=r"`oversampled` .*one class per image.* task='multi_label'"):
        kertl.fine_tune(model, data, recipe=recipe(quick(oversample=True)), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
