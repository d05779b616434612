import keras
import numpy as np
import pytest

import kertl
from tests.families import FAMILIES, PROMISED, application, lively, small_backbone, small_classifier
from tests.marks import some_of


def images(side, count=4):
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype("float32")


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def moved(before, after):
    return [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


@pytest.mark.parametrize("name", some_of(FAMILIES, late=FAMILIES.keys() - PROMISED))
def test_a_stage_moves_the_announced_variables_and_no_statistics_of_any_family(name):
    backbone, x = application(name, FAMILIES[name]), images(FAMILIES[name])
    lively(backbone, x)
    features = keras.layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(backbone.input, keras.layers.Dense(2, activation="softmax")(features))
    stage = kertl.stage_model(model, at="mid")
    announced = {id(variable) for variable in stage.trainable_variables}
    frozen = [variable for variable in model.variables if id(variable) not in announced and "seed" not in variable.path]
    before_frozen, before_trained = values(frozen), values(stage.trainable_variables)
    stage.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", run_eagerly=True, jit_compile=False)
    stage.train_on_batch(x, np.array([0, 1, 1, 1]))
    assert frozen
    assert not any(moved(before_frozen, values(frozen)))
    assert np.mean(moved(before_trained, values(stage.trainable_variables))) > 0.9


@pytest.mark.promise
@pytest.mark.slow
def test_the_prefix_gives_in_training_what_it_gives_in_inference():
    backbone = application("EfficientNetB0", 64)  # has stochastic depth, which `trainable=False` leaves on
    prefix = kertl.stage_model(backbone, at="block7a").get_layer("frozen_prefix")
    x = images(64)
    np.testing.assert_array_equal(prefix(x, training=True), prefix(x, training=False))


@pytest.mark.parametrize("at", ["deep", "mid", "full", "block2"])
def test_training_a_stage_trains_the_model_and_gives_the_same_predictions(at):
    model = small_classifier()
    stage = kertl.stage_model(model, at)
    stage.compile("sgd", "sparse_categorical_crossentropy")
    before = values(model.variables)
    stage.fit(images(32), np.array([0, 1, 2, 0]), epochs=2, verbose=0)
    assert any(moved(before, values(model.variables)))
    np.testing.assert_allclose(
        model.predict(images(32), verbose=0), stage.predict(images(32), verbose=0), rtol=1e-5, atol=1e-6
    )


def test_batch_norm_behind_the_boundary_trains_only_when_asked_and_always_in_the_head():
    for mode, expected in (("frozen", False), ("train", True)):
        model = small_classifier()
        stage = kertl.stage_model(model, "block4", batch_norm=mode)
        statistics = {
            name: next(layer for layer in stage._flatten_layers() if layer.name == name).moving_mean
            for name in ("block3_bn", "block4_bn", "head_bn")
        }
        before = values(statistics.values())
        stage.compile("sgd", "sparse_categorical_crossentropy")
        stage.fit(images(32), np.array([0, 1, 2, 0]), verbose=0)
        assert moved(before, values(statistics.values())) == [False, expected, True]


def test_at_full_nothing_is_frozen_but_batch_norm():
    stage = kertl.stage_model(small_classifier(), "full")
    frozen = {v.path.split("/")[-2] for v in stage.non_trainable_variables if "seed" not in v.path}
    assert frozen == {"stem_bn", "block1_bn", "block2_bn", "block3_bn", "block4_bn", "head_bn"}


def test_a_stage_model_survives_saving_and_loading(tmp_path):
    stage = kertl.stage_model(small_classifier(), "mid")
    stage.save(tmp_path / "stage.keras")
    loaded = keras.saving.load_model(tmp_path / "stage.keras")
    np.testing.assert_allclose(stage(images(32)), loaded(images(32)), rtol=1e-6, atol=1e-7)
    assert len(loaded.trainable_variables) == len(stage.trainable_variables)


def test_a_stage_of_a_bare_backbone_trains_the_backbone():
    stage = kertl.stage_model(small_backbone(), "block4")
    assert {v.path.split("/")[-2] for v in stage.trainable_variables} == {"block4_conv"}
