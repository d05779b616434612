"""Stages that train low-rank factors: what moves, and by how much; in the end a plain model."""

import keras
import numpy as np
import pytest

import kertl
from kertl.model import low_rank_layers
from tests.messages import assert_names
from tests.runner.test_resume import Kill, Killed
from tests.runs import classifier, digest, quick, recipe, same, squares, weights

POINTWISE = ("expand", "project")


def pointwise_backbone(side=32):
    """A stem and an inverted bottleneck, whose 1x1 convolutions are what can have factors."""
    inputs = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(inputs)
    x = keras.layers.Conv2D(8, 3, strides=4, padding="same", activation="relu", name="stem")(x)
    shortcut = x
    x = keras.layers.Conv2D(24, 1, use_bias=False, name="expand")(x)
    x = keras.layers.BatchNormalization(name="expand_bn")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = keras.layers.Dropout(0.2, name="drop")(x)
    x = keras.layers.Conv2D(8, 1, name="project")(x)
    x = keras.layers.Add(name="add")([shortcut, x])
    return keras.Model(inputs, x, name="pointwise")


def stage(at=2, **options):
    return quick(at, **{"lora_rank": 2, "epochs": 2, "learning_rate": 0.05, **options})


def train(*stages, folder=None, seed=1, callback=None, **options):
    model = classifier(seed, pointwise_backbone)
    before = weights(model)
    options = {"run_dir": folder, "callbacks": [callback or Kill()], "verbose": 0, "checkpoint_seconds": 0, **options}
    return before, kertl.fine_tune(model, squares(), recipe=recipe(*stages, seed=3), **options)


@pytest.fixture(scope="module")
def trained():
    return train(stage())


def test_only_kernels_that_have_factors_and_the_head_move_and_by_few_ranks(trained):
    before, run = trained
    after = weights(run.model)
    moved = {path for path, alike in same(before, after).items() if not alike}
    backbone = {layer.name for layer in pointwise_backbone().layers}
    assert any(path.split("/")[-2] not in backbone for path in moved)
    assert {tuple(path.split("/")[-2:]) for path in moved if path.split("/")[-2] in backbone} == {
        (name, "kernel") for name in POINTWISE
    }
    for name in POINTWISE:
        (path,) = (path for path in moved if f"{name}/kernel" in path)
        change = (after[path] - before[path])[0, 0]
        assert np.linalg.matrix_rank(change, tol=1e-5 * np.abs(change).max()) == 2


def test_the_model_is_a_plain_one_afterwards(trained, tmp_path):
    _, run = trained
    layers = {layer.name: layer for layer in run.model._flatten_layers()}
    for name in POINTWISE:
        assert not layers[name].lora_enabled
        assert "lora_rank" not in layers[name].get_config()
    kertl.save(run.model, tmp_path / "m.keras")
    images = squares().test
    plain = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(plain.predict(images, verbose=0), run.model.predict(images, verbose=0))


def test_what_was_validated_is_what_the_merged_model_gives(trained):
    _, run = trained
    scores = run.metrics["validation"]["accuracy"]
    best = int(np.argmin(run.history["val_loss"]))
    assert scores == pytest.approx(run.history["val_accuracy"][best], abs=1e-6)


def test_factors_train_on_cached_features_as_on_images():
    runs = [train(stage(cache=cache, label_smoothing=0.0))[1] for cache in (True, False)]
    np.testing.assert_allclose(*(run.history["loss"] for run in runs), rtol=1e-4)
    np.testing.assert_allclose(*(run.history["val_loss"] for run in runs), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.promise
def test_a_run_with_factors_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    stages = [quick("deep"), stage(augment="light", epochs=1), stage("full", epochs=1), quick("mid")]
    _, undisturbed = train(*stages)
    kills = 0
    while True:
        try:
            callback = Kill(["on_train_batch_end", "on_train_begin"], at=4)
            _, run = train(*stages, folder=tmp_path, seed=kills + 1, callback=callback)
            break
        except Killed:
            kills += 1
            assert kills < 30
    assert kills >= 4
    assert digest(run.model) == digest(undisturbed.model)
    assert run.history == undisturbed.history


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"lora_rank": -1}, ("`lora_rank`", ">= 0", "lora_rank=-1")),
        ({"lora_rank": 4, "l2_sp": 0.1}, ("`l2_sp`", "lora_rank=4", "l2_sp=0.1")),
        ({"lora_rank": 4, "batch_norm": "train"}, ("`batch_norm`", "lora_rank=4", "batch_norm='train'")),
        ({"lora_rank": 4, "solver": "exact"}, ("`lora_rank`", "solver='exact'", "lora_rank=4")),
    ],
)
def test_what_does_not_go_with_factors_is_refused(wrong, named):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Stage("deep", **wrong)
    assert_names(caught.value, *named)


def test_a_boundary_after_which_nothing_can_have_factors_is_refused():
    model = classifier(1, pointwise_backbone)
    with pytest.raises(ValueError, match="`lora_rank` must be 0 where") as caught:
        kertl.fine_tune(model, squares(), recipe=recipe(quick("deep", lora_rank=2)), verbose=0)
    assert_names(caught.value, "1x1", "'deep'", "lora_rank=2")
    with pytest.raises(ValueError, match="`lora_rank` must be 0 in cross_validate"):
        kertl.cross_validate(model, squares(), recipe=recipe(stage()), folds=2)


def test_layers_inside_layers_can_have_factors_too():
    inputs = keras.Input((6, 8))
    x = keras.layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, kernel_constraint="non_neg")(x))
    found = low_rank_layers(model.layers)
    assert {layer.name for layer in found} == {"query", "key", "value", "attention_output"}
