import keras
import numpy as np
import pytest

import kertl
from kertl.model import model_info
from tests.families import small_backbone


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


def test_classes_may_be_given_by_name():
    model = kertl.build(small_backbone(), class_names=["cat", "dog", "eel"])
    assert model.output_shape == (None, 3)
    assert vars(model_info(model)) == {
        "task": "single_label",
        "class_names": ("cat", "dog", "eel"),
        "backbone": "small",
        "kertl": kertl.__version__,
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
    assert str(caught.value) == (
        "Exactly one of `num_classes` and `class_names` must be given. "
        f"Received: num_classes={given.get('num_classes')!r}, class_names={given.get('class_names')!r}."
    )


@pytest.mark.parametrize("number", [1, 0, -1, 2.0, True, "2"])
def test_a_number_of_classes_that_is_none_is_refused(number):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), num_classes=number)
    assert str(caught.value) == f"`num_classes` must be a whole number >= 2. Received: num_classes={number!r}."


@pytest.mark.parametrize("names", [["a"], ["a", "a"], "ab", []])
def test_class_names_that_are_not_different_names_are_refused(names):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(small_backbone(), class_names=names)
    assert str(caught.value) == (
        f"`class_names` must be a list of at least 2 different names. Received: class_names={names!r}."
    )


def test_one_output_is_enough_for_regression():
    assert kertl.build(small_backbone(), num_classes=1, task="regression").output_shape == (None, 1)


def test_an_unknown_task_is_answered_with_the_nearest():
    message = (
        r"`task` must be 'single_label' or 'multi_label' or 'regression'\. Received: task='multilabel'\. "
        r"Did you mean 'multi_label'\?"
    )
    with pytest.raises(ValueError, match=message):
        kertl.build(small_backbone(), num_classes=2, task="multilabel")


def test_the_size_of_a_loaded_backbone_cannot_be_changed():
    backbone = kertl.load_backbone(small_backbone())
    assert kertl.build(backbone, num_classes=2, input_shape=(32, 32, 3)).input_shape == (None, 32, 32, 3)
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.build(backbone, num_classes=2, input_shape=(64, 64, 3))
    assert str(caught.value) == (
        "`input_shape` must be (32, 32, 3), as the backbone has it. Received: input_shape=(64, 64, 3)."
    )


def test_a_backbone_that_was_saved_and_loaded_gives_the_same_model(tmp_path):
    backbone = kertl.load_backbone("MobileNetV2", weights=None, input_shape=(32, 32, 3))
    backbone.save(tmp_path / "backbone.keras")
    again = kertl.load_backbone(tmp_path / "backbone.keras")
    np.testing.assert_allclose(again(images()), backbone(images()), rtol=1e-5, atol=1e-6)
