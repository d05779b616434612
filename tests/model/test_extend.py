import keras
import numpy as np
import pytest

import kertl
from kertl.model import model_info, output_layer
from tests.families import lively, small_backbone, small_classifier
from tests.messages import assert_names


def images(side=32, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def named(task="single_label", **head):
    keras.utils.set_random_seed(0)
    model = kertl.build(small_backbone(), class_names=["cat", "dog"], task=task, head=kertl.Head(**head))
    dense = output_layer(model).dense
    dense.bias.assign(np.linspace(0.3, -0.2, dense.units))
    return lively(model, images())


def logits(model, x):
    """What the last Dense layer computes before its activation, by hand."""
    last = output_layer(model)
    features = keras.ops.convert_to_numpy(keras.Model(model.inputs[0], last.inputs)(x))
    kernel, bias = last.dense.get_weights()
    return features @ kernel + bias


def sequential():
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(4, 3, strides=4),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
            keras.layers.Softmax(),
        ],
        name="theirs",
    )


def with_activation_layer():
    inner = small_backbone()
    x = keras.layers.GlobalAveragePooling2D()(inner.output)
    answers = keras.layers.Activation("softmax")(keras.layers.Dense(3, dtype="float32")(x))
    return keras.Model(inner.input, answers, name="theirs")


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
@pytest.mark.parametrize("head", [{}, {"hidden_units": (8,)}])
def test_what_the_old_classes_have_learnt_is_kept_bit_for_bit(task, head):
    model = named(task, **head)
    old_kernel, old_bias = output_layer(model).dense.get_weights()
    extended = kertl.extend_classes(model, ["eel", "fox"])
    kernel, bias = output_layer(extended).dense.get_weights()
    np.testing.assert_array_equal(kernel[:, :2], old_kernel)
    np.testing.assert_array_equal(bias[:2], old_bias)
    assert len(extended.weights) == len(model.weights)
    for before, after in zip(model.weights[:-2], extended.weights[:-2], strict=True):
        assert before is after
    np.testing.assert_allclose(logits(extended, images())[:, :2], logits(model, images()), rtol=1e-5)
    assert extended.output_shape == (None, 4)
    assert (extended.name, extended.layers[-1].name) == (model.name, "predictions")


def test_the_probabilities_of_old_labels_stay_and_those_of_old_classes_keep_their_proportions():
    x = images()
    labels = named("multi_label")
    extended = kertl.extend_classes(labels, ["eel"])
    np.testing.assert_allclose(extended(x)[:, :2], labels(x), rtol=1e-5)
    classes = named()
    shared = keras.ops.convert_to_numpy(kertl.extend_classes(classes, ["eel"])(x))
    kept = shared[:, :2] / shared[:, :2].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(kept, classes(x), rtol=1e-5)


def test_new_columns_are_drawn_by_the_layers_own_initialisers():
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(small_backbone()(inputs))
    dense = keras.layers.Dense(
        2, activation="softmax", kernel_initializer="ones", bias_initializer=keras.initializers.Constant(7.0)
    )
    model = keras.Model(inputs, dense(pooled))
    dense.set_weights([np.zeros((24, 2)), np.zeros(2)])
    kernel, bias = output_layer(kertl.extend_classes(model, ["c"], class_names=["a", "b"])).dense.get_weights()
    assert (kernel[:, :2] == 0).all()
    assert (kernel[:, 2] == 1).all()
    assert bias.tolist() == [0, 0, 7]


@pytest.mark.parametrize("make", [small_classifier, sequential, with_activation_layer])
def test_somebodys_own_classifier_is_extended(make):
    model = make()
    extended = kertl.extend_classes(model, ["d"], class_names=["a", "b", "c"])
    assert extended.output_shape == (None, 4)
    info = model_info(extended)
    assert (info.task, info.class_names, info.backbone) == ("single_label", ("a", "b", "c", "d"), model.name)
    np.testing.assert_allclose(np.sum(extended(images()), axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(logits(extended, images())[:, :3], logits(model, images()), rtol=1e-4, atol=1e-5)


def test_an_extended_model_is_saved_loaded_and_extended_again(tmp_path):
    extended = kertl.extend_classes(named(), ["eel"])
    kertl.save(extended, tmp_path / "m.keras")
    again = kertl.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(images()), extended(images()))
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "m.keras")(images()), extended(images()))
    assert model_info(kertl.extend_classes(again, ["fox"])).class_names == ("cat", "dog", "eel", "fox")


def test_an_extended_model_trains_on_all_its_classes():
    x = images(count=24)
    model = kertl.extend_classes(named(), ["ant"])
    names = model_info(model).class_names
    data = kertl.data.from_arrays(x, ["ant", "cat", "dog"] * 8, class_names=names, validation=0, test=0)
    recipe = kertl.Recipe(stages=[kertl.Stage("deep", epochs=1, augment="none")])
    run = kertl.fine_tune(model, data, recipe=recipe, verbose=0)
    assert list(kertl.evaluate(run.model, data.train)["classes"]) == ["cat", "dog", "ant"]


def test_thresholds_of_old_labels_are_kept():
    model = named("multi_label")
    info = model_info(model)
    kertl.model.set_model_info(model, kertl.model.ModelInfo(info.task, info.class_names, "small", "1", (0.2, 0.7)))
    assert model_info(kertl.extend_classes(model, ["eel"])).thresholds == (0.2, 0.7, 0.5)
    assert model_info(kertl.extend_classes(named("multi_label"), ["eel"])).thresholds == ()


@pytest.mark.parametrize("names", [np.array(["eel", "fox"]), (name for name in ("eel", "fox"))])
def test_new_names_may_come_as_an_array_or_a_generator(names):
    extended = kertl.extend_classes(small_classifier(), names, class_names=np.array(["a", "b", "c"]))
    assert model_info(extended).class_names == ("a", "b", "c", "eel", "fox")


@pytest.mark.parametrize("names", [["dog"], ["eel", "eel"]])
def test_a_name_that_is_there_already_is_refused(names):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.extend_classes(named(), names)
    assert_names(caught.value, "`names`", f"names={names!r}", f"{names[-1]!r} is there")


@pytest.mark.parametrize("names", [[], "eel", [""], [3], {"eel"}, np.array([3])])
def test_names_that_are_none_are_refused(names):
    with pytest.raises(ValueError, match="`names` must be") as caught:
        kertl.extend_classes(named(), names)
    assert_names(caught.value, f"names={names!r}")


def test_a_regression_has_no_classes_to_extend():
    with pytest.raises(ValueError, match=r"`model` must be .*task is 'regression'"):
        kertl.extend_classes(kertl.build(small_backbone(), num_classes=2, task="regression"), ["eel"])


def test_a_yes_or_no_question_has_no_third_class():
    with pytest.raises(ValueError, match=r"`model` must be .*three classes.*`kertl.build\("):
        kertl.extend_classes(named("binary"), ["eel"])


def test_a_model_that_ends_in_something_else_is_refused():
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(small_backbone()(inputs))
    with pytest.raises(ValueError, match=r"`model` must be .*no Dense layer"):
        kertl.extend_classes(keras.Model(inputs, pooled), ["eel"], class_names=["a"])
    with pytest.raises(ValueError, match=r"`model` must be .*Dense layer with 'linear'"):
        kertl.extend_classes(keras.Model(inputs, keras.layers.Dense(2)(pooled)), ["eel"], class_names=["a", "b"])


def test_names_of_the_old_classes_are_wanted_exactly_where_the_model_does_not_know_them():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.extend_classes(small_classifier(), ["eel"])
    assert_names(caught.value, "`class_names`", "3", "'classifier'", "class_names=None")
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.extend_classes(named(), ["eel"], class_names=["a", "b"])
    assert_names(caught.value, "`class_names`", "left out", "['cat', 'dog']", "class_names=['a', 'b']")
