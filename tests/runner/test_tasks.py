import json

import keras
import numpy as np
import pytest

import kertl
from kertl.model import model_info
from kertl.runner import _fine_tune
from tests.messages import assert_names

NAMES = ["blue", "green", "red"]


def pictures(count=72, side=32, seed=0):
    """Pictures whose channels are bright or dark, and which channels are bright."""
    random = np.random.default_rng(seed)
    bright = random.random((count, 3)) < 0.5
    x = random.integers(0, 60, (count, side, side, 3)) + 180 * bright[:, None, None, ::-1]
    return x.astype("uint8"), bright


def data_for(task, **options):
    x, bright = pictures()
    y, names = {
        "single_label": (bright[:, 0].astype(int), ["dark", "light"]),
        "binary": (bright[:, 0].astype(int), ["dark", "light"]),
        "multi_label": (bright, NAMES),
        "regression": (
            np.stack([1000 * x.mean(axis=(1, 2, 3)), x[..., 0].mean(axis=(1, 2)) / 1000], axis=1),
            ["sum", "red"],
        ),
    }[task]
    options = {"validation": 0.25, "test": 0.25, "batch_size": 8, "class_names": names, **options}
    return kertl.data.from_arrays(x, y, task=task, **options)


def recipe(at="full", **options):
    stage = {
        "epochs": 8,
        "learning_rate": 0.01,
        "augment": "none",
        "batch_norm": "train",
        "label_smoothing": 0.0,
        **options,
    }
    return kertl.Recipe(stages=[kertl.Stage(at, **stage)])


def tiny_backbone():
    """Two layers with weights: quick to compile, and enough to tell bright from dark."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(inputs)
    x = keras.layers.Conv2D(8, 4, strides=4, name="stem_conv")(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.8)(x))
    return keras.Model(inputs, x, name="tiny")


def model_for(data):
    keras.utils.set_random_seed(0)
    return kertl.build(
        tiny_backbone(),
        class_names=data.class_names,
        task=data.task,
        target_scaling=data.target_scaling,
        head=kertl.Head(dropout=0.0),
    )


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "figure", "least", "columns"),
    [
        ("binary", "auc", 0.95, ["accuracy", "auc"]),
        ("multi_label", "macro_f1", 0.9, ["accuracy", "auc", "macro_f1"]),
        ("regression", "r2", 0.6, ["mae", "rmse"]),
    ],
)
def test_each_task_is_learnt_evaluated_and_saved(task, figure, least, columns, tmp_path):
    data = data_for(task)
    run = kertl.fine_tune(model_for(data), data, recipe=recipe(), run_dir=tmp_path / "run", verbose=0)
    assert run.metrics["test"][figure] > least
    assert {*columns, *(f"val_{name}" for name in columns)} <= set(run.history)
    again = kertl.load(tmp_path / "run" / "model.keras")
    assert model_info(again) == model_info(run.model)
    assert model_info(again).task == task
    assert kertl.evaluate(again, data.test) == run.metrics["test"]
    np.testing.assert_array_equal(
        keras.saving.load_model(tmp_path / "run" / "model.keras").predict(data.test.in_order(), verbose=0),
        kertl.predict(run.model, data.test),
    )
    if task != "regression":
        thresholds = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]["thresholds"]
        assert list(thresholds.values()) == list(model_info(again).thresholds)
        assert list(thresholds) == (["light"] if task == "binary" else NAMES)


def test_the_loss_of_a_regression_is_in_units_of_spread_and_its_metrics_are_not():
    data = data_for("regression")
    model = model_for(data)
    run = kertl.fine_tune(model, data, recipe=recipe(epochs=1, learning_rate=1e-9, batch_norm="frozen"), verbose=0)
    means, spreads = data.target_scaling
    standardised = (kertl.predict(model, data.validation) - means) / spreads - (
        data.validation.labels - means
    ) / spreads
    assert run.history["val_loss"][0] == pytest.approx((standardised**2).mean(), rel=1e-3)
    errors = np.abs(kertl.predict(model, data.validation) - data.validation.labels)
    assert run.history["val_mae"][0] == pytest.approx(errors.mean(), rel=1e-3)


def test_thresholds_are_chosen_without_a_look_at_the_test_part(monkeypatch):
    data, order = data_for("multi_label"), []
    tune, judge = _fine_tune.tune_thresholds, _fine_tune.evaluate
    monkeypatch.setattr(
        _fine_tune, "tune_thresholds", lambda *given, **said: order.append("tune") or tune(*given, **said)
    )
    monkeypatch.setattr(
        _fine_tune,
        "evaluate",
        lambda model, part, **said: (
            order.append("test" if part is data.test else "validation") or judge(model, part, **said)
        ),
    )
    kertl.fine_tune(model_for(data), data, recipe=recipe("deep", epochs=1), verbose=0)
    assert order == ["tune", "validation", "test"]


def test_without_a_validation_part_the_thresholds_stay_at_one_half():
    data = data_for("binary", validation=0)
    run = kertl.fine_tune(model_for(data), data, recipe=recipe("deep", epochs=1), verbose=0)
    assert run.metrics["test"]["thresholds"] == {"light": 0.5}
    assert model_info(run.model).thresholds == ()


def test_a_finished_run_gives_its_thresholds_back(tmp_path):
    data = data_for("multi_label")
    plan = recipe("deep", epochs=1)
    run = kertl.fine_tune(model_for(data), data, recipe=plan, run_dir=tmp_path / "run", verbose=0)
    again = kertl.fine_tune(model_for(data), data, recipe=plan, run_dir=tmp_path / "run", verbose=0)
    assert model_info(again.model) == model_info(run.model)
    assert len(model_info(again.model).thresholds) == 3


def test_class_weights_count_for_two_classes_and_are_refused_for_others_before_training(tmp_path):
    data = data_for("binary")
    kertl.fine_tune(model_for(data), data, recipe=recipe("deep", epochs=1, class_weights=True), verbose=0)
    data = data_for("multi_label")
    with pytest.raises(ValueError, match=r"`class_weights` .*one class per image.* task='multi_label'"):
        kertl.fine_tune(model_for(data), data, recipe=recipe(class_weights=True), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def own(outputs=2, activation="softmax"):
    """Somebody's own classifier, of one piece, made by plain Keras."""
    keras.utils.set_random_seed(3)
    backbone = tiny_backbone()
    x = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return keras.Model(backbone.input, keras.layers.Dense(outputs, activation=activation)(x), name="own")


@pytest.mark.parametrize(
    ("task", "outputs", "activation"),
    [("single_label", 2, "softmax"), ("binary", 1, "sigmoid"), ("multi_label", 3, "sigmoid")],
)
def test_somebodys_own_classifier_is_trained_whole_with_its_own_head(task, outputs, activation, tmp_path):
    data, model = data_for(task), own(outputs, activation)
    head = model.layers[-1].get_weights()[0].copy()
    run = kertl.fine_tune(model, data, recipe=recipe(), run_dir=tmp_path / "run", verbose=0)
    assert run.model is model
    assert not np.array_equal(model.layers[-1].get_weights()[0], head)
    assert run.metrics["test"]["accuracy"] > 0.8
    info = model_info(kertl.load(tmp_path / "run" / "model.keras"))
    assert (info.task, info.class_names, info.backbone) == (task, tuple(data.class_names), "own")


def test_a_head_on_somebodys_own_backbone_answers_other_labels(tmp_path):
    theirs = own(5)
    theirs.save(tmp_path / "their_model.keras")
    data = data_for("multi_label")
    backbone = kertl.load_backbone(tmp_path / "their_model.keras")
    model = kertl.build(backbone, class_names=data.class_names, task=data.task)
    kertl.fine_tune(model, data, recipe=recipe("deep", epochs=1, batch_norm="frozen"), verbose=0)
    kernel = next(v for v in model.variables if v.path.endswith("stem_conv/kernel"))
    original = next(v for v in theirs.variables if v.path.endswith("stem_conv/kernel"))
    np.testing.assert_array_equal(kernel, original)


def test_a_model_that_gives_logits_is_refused():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.fine_tune(own(activation="linear"), data_for("single_label"), recipe=recipe())
    assert_names(caught.value, "`model`", "softmax", "'single_label'", "'own'", "linear")
    assert_names(caught.value, "`keras.layers.Activation`", "kertl.load_backbone(model), task='single_label'")


def test_a_wrong_number_of_outputs_names_both_ways_out():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.fine_tune(own(4), data_for("single_label"), recipe=recipe())
    assert_names(caught.value, "`model`", "['dark', 'light']", "'own'", "4 outputs")
    assert_names(caught.value, "kertl.load_backbone(model)", "`kertl.extend_classes(model, names)`")


def test_half_precision_leaves_the_answers_in_single_precision(monkeypatch):
    from kertl.model import computing_in

    data = data_for("regression")
    model = model_for(data)
    with computing_in(model, "mixed_bfloat16"):
        policies = {layer.name: layer.dtype_policy.name for layer in model.layers[-3:]}
    assert policies["predictions"] == policies["original_units"] == "float32"
    assert policies["average_pooling"] == "mixed_bfloat16"
