import keras
import numpy as np
import pytest

import kertl
from kertl.model import model_info
from tests.families import small_backbone
from tests.messages import assert_names


def images(side=32, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def test_a_model_is_preprocessing_the_backbone_nested_whole_and_the_head():
    model = kertl.build("MobileNetV3Small", num_classes=4, weights=None, input_shape=(64, 64, 3))
    assert type(model).__name__ == "Functional"
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 4)
    assert [layer.name for layer in model.layers if isinstance(layer, keras.Model)] == ["MobileNetV3Small"]
    assert [layer.name for layer in model.layers[-3:]] == ["average_pooling", "head_dropout", "predictions"]
    assert not model.compiled
    assert model.name == "MobileNetV3Small_single_label"


@pytest.mark.parametrize("names", [np.unique(["dog", "cat", "cat"]), (name for name in ("cat", "dog"))])
def test_names_may_come_as_an_array_or_a_generator_and_are_then_plain_texts(names):
    found = model_info(kertl.build(small_backbone(), class_names=names)).class_names
    assert found == ("cat", "dog")
    assert {type(name) for name in found} == {str}


def test_names_may_come_as_pandas_has_them():
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series(["cat", "dog"])
    for names in (labels, pandas.Index(labels), pandas.Categorical(labels).categories):
        assert model_info(kertl.build(small_backbone(), class_names=names)).class_names == ("cat", "dog")


@pytest.mark.parametrize("names", [{"cat", "dog"}, "cat", np.array([0, 1])])
def test_names_without_an_order_and_numbers_are_refused(names):
    with pytest.raises(
        ValueError, match=r"`class_names` must be a list of names, in the order of the labels\. Received"
    ):
        kertl.build(small_backbone(), class_names=names)


def test_an_input_shape_may_hold_numbers_of_numpy():
    for shape in (np.array([32, 48, 3]), (np.int64(32), 48, 3)):
        assert kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=shape).input_shape[1:] == (32, 48, 3)
    backbone = kertl.load_backbone(small_backbone(), preprocessing="none")
    assert kertl.build(backbone, num_classes=2, input_shape=np.array(backbone.input_shape[1:])).output_shape == (
        None,
        2,
    )
    with pytest.raises(ValueError, match=r"`input_shape` must be \(height, width, channels\)"):
        kertl.build(backbone, num_classes=2, input_shape=32)


def test_classes_may_be_given_by_name():
    model = kertl.build(small_backbone(), class_names=["cat", "dog", "eel"])
    assert model.output_shape == (None, 3)
    assert vars(model_info(model)) == {
        "task": "single_label",
        "class_names": ("cat", "dog", "eel"),
        "backbone": "small",
        "kertl": kertl.__version__,
        "thresholds": (),
        "image_size": (32, 32),
        "channels": 3,
        "resize": None,
        "trained_on": frozenset(),
        "int8": None,
    }


@pytest.mark.parametrize(
    ("task", "activation", "outputs"),
    [("single_label", "softmax", 3), ("multi_label", "sigmoid", 3), ("regression", "linear", 1)],
)
def test_the_task_chooses_the_output(task, activation, outputs):
    model = kertl.build(small_backbone(), num_classes=outputs, task=task)
    assert model.layers[-1].activation is keras.activations.get(activation)
    assert model_info(model).task == task
    found = keras.ops.convert_to_numpy(model(images()))
    if task == "single_label":
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_a_backbone_that_load_backbone_gave_is_not_wrapped_twice():
    backbone = kertl.load_backbone("MobileNetV3Small", weights=None, input_shape=(32, 32, 3))
    model = kertl.build(backbone, num_classes=2)
    features = keras.Model(model.input, model.get_layer("average_pooling").input)
    np.testing.assert_array_equal(features(images()), backbone(images()))
    assert model_info(model).backbone == "MobileNetV3Small"


def test_initial_weights_follow_the_seed():
    found = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        found.append(kertl.build(small_backbone(), num_classes=2).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not np.array_equal(found[0][0], found[2][0])


@pytest.mark.parametrize("given", [{}, {"num_classes": 2, "class_names": ["a", "b"]}])
def test_exactly_one_of_number_and_names_is_to_be_given(given):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), **given)
    num_classes, class_names = given.get("num_classes"), given.get("class_names")
    assert_names(caught.value, "`num_classes`", "`class_names`", f"{num_classes=}", f"{class_names=}")


@pytest.mark.parametrize("number", [1, 0, -1, 2.0, True, "2"])
def test_a_number_of_classes_that_is_none_is_refused(number):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), num_classes=number)
    assert_names(caught.value, "`num_classes`", ">= 2", f"num_classes={number!r}")


@pytest.mark.parametrize("names", [["a"], ["a", "a"], []])
def test_class_names_that_are_not_different_names_are_refused(names):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), class_names=names)
    assert_names(caught.value, "`class_names`", "at least 2", f"class_names={names!r}")


def test_one_output_is_enough_for_regression():
    assert kertl.build(small_backbone(), num_classes=1, task="regression").output_shape == (None, 1)


def test_an_unknown_task_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"`task` must be .*task='multilabel'.*'multi_label'"):
        kertl.build(small_backbone(), num_classes=2, task="multilabel")


def test_the_size_of_a_loaded_backbone_cannot_be_changed():
    backbone = kertl.load_backbone(small_backbone())
    assert kertl.build(backbone, num_classes=2, input_shape=(32, 32, 3)).input_shape == (None, 32, 32, 3)
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(backbone, num_classes=2, input_shape=(64, 64, 3))
    assert_names(caught.value, "`input_shape`", "(32, 32, 3)", "input_shape=(64, 64, 3)")


@pytest.mark.promise
@pytest.mark.slow
def test_a_backbone_that_was_saved_and_loaded_gives_the_same_model(tmp_path):
    backbone = kertl.load_backbone("MobileNetV2", weights=None, input_shape=(32, 32, 3))
    backbone.save(tmp_path / "backbone.keras")
    again = kertl.load_backbone(tmp_path / "backbone.keras")
    np.testing.assert_allclose(again(images()), backbone(images()), rtol=1e-5, atol=1e-6)


def test_two_classes_have_one_output():
    model = kertl.build(small_backbone(), class_names=["no", "yes"], task="binary")
    assert model.output_shape == (None, 1)
    assert model.layers[-1].activation is keras.activations.sigmoid
    assert (model_info(model).task, model_info(model).class_names) == ("binary", ("no", "yes"))
    assert kertl.build(small_backbone(), num_classes=2, task="binary").output_shape == (None, 1)


def test_a_binary_model_of_three_classes_is_refused():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), class_names=["a", "b", "c"], task="binary")
    assert_names(caught.value, "`class_names`", "2", "task='binary'", "class_names=['a', 'b', 'c']")
    assert_names(caught.value, "task='single_label'")
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), num_classes=3, task="binary")
    assert_names(caught.value, "`num_classes`", "2", "task='binary'", "num_classes=3", "task='single_label'")


def test_scaled_targets_come_out_in_their_own_units():
    scaling = ((100.0, -2.0), (50.0, 0.25))
    keras.utils.set_random_seed(0)
    plain = kertl.build(small_backbone(), num_classes=2, task="regression")
    keras.utils.set_random_seed(0)
    scaled = kertl.build(small_backbone(), num_classes=2, task="regression", target_scaling=scaling)
    assert [layer.name for layer in scaled.layers[-2:]] == ["predictions", "original_units"]
    assert len(scaled.weights) == len(plain.weights)
    standardised = keras.ops.convert_to_numpy(plain(images()))
    np.testing.assert_allclose(scaled(images()), standardised * scaling[1] + np.array(scaling[0]), rtol=1e-5)


def test_scaled_targets_survive_plain_keras(tmp_path):
    model = kertl.build(small_backbone(), num_classes=2, task="regression", target_scaling=((1.5, 3.0), (2.0, 0.1)))
    kertl.save(model, tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert type(again.layers[-1]).__name__ == "Rescaling"
    np.testing.assert_array_equal(again(images()), model(images()))


@pytest.mark.parametrize(
    ("task", "scaling", "named"),
    [
        ("multi_label", ((0, 0), (1, 1)), ("task='multi_label'", "target_scaling=((0, 0), (1, 1))")),
        ("regression", ((0,), (1,)), ("2 targets", "`data.target_scaling`", "target_scaling=((0,), (1,))")),
        ("regression", ((0, 0), (1, 0)), ("> 0", "target_scaling=0")),
    ],
)
def test_a_scaling_that_does_not_fit_is_refused(task, scaling, named):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), num_classes=2, task=task, target_scaling=scaling)
    assert_names(caught.value, "`target_scaling`", *named)


def own_head(*layers):
    return keras.Sequential([keras.layers.GlobalAveragePooling2D(), *layers])


def test_a_layer_or_a_model_of_ones_own_may_be_the_head():
    backbone = small_backbone()
    head = own_head(keras.layers.Dense(8, activation="relu"), keras.layers.Dense(2, activation="softmax"))
    model = kertl.build(kertl.load_backbone(backbone), class_names=["a", "b"], head=head)
    assert model.output_shape == (None, 2)
    assert kertl.model.task_of(model) == "single_label"
    stage = kertl.stage_model(model, "deep")
    assert len(stage.trainable_variables) == 4


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (keras.layers.Dense(2, activation="softmax"), ("`head`", "(batch, 2)", "(None, 4, 4, 2)", "Pool")),
        (own_head(keras.layers.Dense(3, activation="softmax")), ("`head`", "(batch, 2)", "(None, 3)")),
        (own_head(keras.layers.Dense(2)), ("`head`", "softmax", "single_label", "linear")),
        ("avg", ("`head`", "kertl.Head", "head='avg'")),
    ],
    ids=["maps", "outputs", "logits", "text"],
)
def test_a_head_that_does_not_fit_is_refused(head, named):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(kertl.load_backbone(small_backbone()), num_classes=2, head=head)
    assert_names(caught.value, *named)
