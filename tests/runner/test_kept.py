"""Stages that train on features which are kept."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import kertl
from kertl.training import _choice, _material, _pool
from tests.marks import promised, some_of
from tests.messages import assert_names
from tests.runner.test_resume import Kill, Killed
from tests.runs import digest, quick, recipe, squares, tiny


def go(folder=None, callback=None, seed=1, **options):
    model = tiny(seed, dropout=0.3)
    options = {"callbacks": [callback or Kill()], "checkpoint_seconds": 0, "verbose": 0, **options}
    data = options.pop("data", None) or squares()
    return kertl.fine_tune(model, data, run_dir=folder, **options)


def on_disk(monkeypatch):
    """Have features kept in files only."""
    original = _choice.plan
    monkeypatch.setattr(
        _choice, "plan", lambda *args, **options: dataclasses.replace(original(*args, **options), choice="disk")
    )


@pytest.mark.parametrize(("at", "class_weights"), [promised("deep", True), promised("mid", False), (3, True)])
def test_training_on_features_gives_what_training_on_images_gives(at, class_weights):
    ends = []
    for cache in (True, False):
        stage = quick(at, epochs=3, cache=cache, class_weights=class_weights, learning_rate=0.003)
        ends.append(go(recipe=recipe(stage)))
    for name in ends[0].history:
        np.testing.assert_allclose(ends[0].history[name], ends[1].history[name], rtol=1e-4) if name != "at" else None
    for one, other in zip(ends[0].model.get_weights(), ends[1].model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_features_that_fit_into_memory_need_no_room_on_the_disk(tmp_path, monkeypatch):
    original = _choice.plan
    monkeypatch.setattr(
        _choice, "plan", lambda *args, **options: dataclasses.replace(original(*args, **options), disk_free=1000)
    )
    run = go(tmp_path, recipe=recipe(quick(epochs=2, cache=True)))
    assert not list((tmp_path / "features").rglob("*.npy"))
    assert len(run.rows) == 2


@pytest.mark.promise
@pytest.mark.slow
def test_a_named_recipe_without_augmentation_keeps_the_plain_images():
    plan = kertl.recipe.named_recipe("mid", augment="none", epochs=5)
    assert [stage.views for stage in plan.stages] == [0, 0]
    assert len(go(recipe=plan).rows) == 10


def test_the_frozen_part_runs_once_however_many_epochs(monkeypatch):
    asked = []
    monkeypatch.setattr(_pool, "extract", lambda *args, **options: asked.append(1) or kertl.extract(*args, **options))
    data = squares()
    batch, read = type(data.train).batch, []
    monkeypatch.setattr(type(data.train), "batch", lambda self, *place: read.append(place) or batch(self, *place))
    go(recipe=recipe(quick(epochs=6, cache=True)), data=data)
    assert len(asked) == 3, "training, validation, and the test at the end"
    assert len(read) <= 2 * (3 + 2) + 2, "batches of images: those of the extractions"


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("cache", some_of([True, False], True))
def test_mixup_trains_on_mixed_labels_and_is_judged_by_plain_ones(cache):
    stage = quick("mid", epochs=8, cache=cache, mixup=0.4, class_weights=True)
    mixed, plain = (go(recipe=recipe(dataclasses.replace(stage, mixup=m))) for m in (0.4, 0.0))
    assert mixed.history["loss"][-1] > plain.history["loss"][-1], "mixed pictures cannot be told for sure"
    assert mixed.history["val_accuracy"][-1] > 0.6
    assert digest(go(recipe=recipe(stage)).model) == digest(mixed.model)


def test_versions_take_turns_and_validation_is_plain(monkeypatch):
    seen = []
    for name in ("training_batches", "judged_batches"):
        make = getattr(_material, name)
        monkeypatch.setattr(_material, name, lambda *args, make=make: seen.append(make(*args)) or seen[-1])
    go(recipe=recipe(quick(epochs=3, cache=True, augment="strong", views=2)))
    train, validation = seen
    assert len(train.values) == 2 * 24
    first, second, third = ([train.batch(epoch, index) for index in range(3)] for epoch in range(3))
    for epoch, parts in enumerate((first, second, third)):
        rows = train.order(epoch)
        assert set(rows) == set(range(24 * (epoch % 2), 24 * (epoch % 2) + 24))
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in parts]), train.labels[rows])
    assert not np.array_equal(train.values[:24], train.values[24:])
    assert len(validation.values) == 12


ON_FEATURES = recipe(
    quick(epochs=3, cache=True, augment="light", views=2, class_weights=True),
    quick("mid", epochs=2, cache=True, mixup=0.2),
    quick("full", augment="light", batch_norm="train", learning_rate=0.003),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run on features in memory."""
    return go(tmp_path_factory.mktemp("whole"), recipe=ON_FEATURES)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("place", some_of(["memory", "disk"], "memory"))
def test_a_run_on_features_goes_on_to_the_same_bits(tmp_path, monkeypatch, whole, place):
    if place == "disk":
        on_disk(monkeypatch)
    for kills in range(30):
        try:
            run = go(
                tmp_path,
                Kill(["on_epoch_begin", "on_train_batch_end", "on_test_batch_end"], 5 + kills % 4),
                seed=kills + 1,
                recipe=ON_FEATURES,
            )
            break
        except Killed:
            continue
    assert kills >= 3
    assert digest(run.model) == digest(whole.model)
    assert run.history == whole.history


@pytest.mark.promise
@pytest.mark.slow
def test_what_is_chosen_is_written_down_and_kept_to(tmp_path, monkeypatch):
    stages = recipe(quick(epochs=3, cache="auto"), quick(cache="auto", augment="light"))
    with pytest.raises(Killed):
        go(tmp_path, Kill(["on_epoch_begin"], 2), recipe=stages)
    choices = json.loads((tmp_path / "choices.json").read_text())
    assert choices["0"]["features"] == "memory"
    assert choices["0"]["engine"] in ("keras", "openvino")
    assert_names(choices["0"]["reason"], "memory")
    original = _choice.plan
    monkeypatch.setattr(
        _choice,
        "plan",
        lambda *args, **options: original(*args, **options) if options["augmented"] else pytest.fail("chosen again"),
    )
    go(tmp_path, recipe=stages)
    choices = json.loads((tmp_path / "choices.json").read_text())
    assert choices["1"]["features"] == "live"
    assert_names(choices["1"]["reason"], "`views`")


def test_features_that_cannot_be_kept_are_refused(tmp_path):
    with pytest.raises(ValueError, match="has cache=True, augment='light' and views=0"):
        go(tmp_path, recipe=recipe(quick(epochs=3, cache=True, augment="light")))


@pytest.mark.slow
def test_a_full_stage_has_nothing_to_keep():
    run = go(recipe=recipe(quick("full", epochs=1, cache=True, batch_norm="train")))
    assert len(run.history["loss"]) == 1


@pytest.mark.promise
@pytest.mark.slow
def test_moments_and_dropout_go_on_from_a_stage_on_features():
    ends = []
    for cache in (True, False):
        stages = recipe(quick(epochs=2, cache=cache), quick("mid", epochs=2, cache=cache))
        ends.append(go(recipe=stages))
    np.testing.assert_allclose(ends[0].history["loss"], ends[1].history["loss"], rtol=1e-4)


def test_features_and_their_model_are_keras_own():
    run = go(recipe=recipe(quick(epochs=2, cache=True)))
    assert isinstance(run.model, keras.Model)
    assert [layer.trainable for layer in run.model._flatten_layers()] == [
        layer.trainable for layer in tiny(dropout=0.3)._flatten_layers()
    ]
