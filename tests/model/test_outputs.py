import keras
import numpy as np
import pytest

import kertl
from kertl.model import output_layer, target_spreads, task_of
from tests.families import small_backbone, small_classifier


def ending(*layers):
    """Somebody's model with these layers at its end."""
    return keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(), *layers], name="theirs")


@pytest.mark.parametrize(
    ("layers", "activation", "task"),
    [
        ([keras.layers.Dense(3, activation="softmax")], "softmax", "single_label"),
        ([keras.layers.Dense(3), keras.layers.Softmax()], "softmax", "single_label"),
        ([keras.layers.Dense(3), keras.layers.Activation("softmax")], "softmax", "single_label"),
        ([keras.layers.Dense(3, activation="sigmoid")], "sigmoid", "multi_label"),
        ([keras.layers.Dense(1), keras.layers.Activation("sigmoid")], "sigmoid", "binary"),
    ],
)
def test_the_last_activation_says_the_task_of_a_model_from_elsewhere(layers, activation, task):
    model = ending(*layers)
    assert output_layer(model).activation == activation
    assert output_layer(model).dense is layers[0]
    assert task_of(model) == task


@pytest.mark.parametrize(
    ("head", "task"),
    [
        ([keras.layers.Dense(3, activation="softmax")], "single_label"),
        ([keras.layers.Dense(1, activation="sigmoid"), keras.layers.Dropout(0.1)], "binary"),
        ([keras.layers.Dense(3, activation="sigmoid"), keras.layers.Reshape((3,))], "multi_label"),
    ],
)
def test_a_nested_head_says_the_task_as_well(head, task):
    inner = keras.Sequential([keras.layers.GlobalAveragePooling2D(), *head])
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3), keras.Sequential([inner])])
    assert task_of(model) == task
    assert task_of(model, "regression") == task


def test_an_activation_around_a_nested_head_is_the_last_one():
    logits = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)])
    model = keras.Sequential([keras.Input((8, 8, 3)), logits, keras.Sequential([keras.layers.Softmax()])])
    assert task_of(model) == "single_label"
    assert output_layer(model).dense is logits.layers[-1]


def test_logits_of_a_nested_head_do_not_pass_as_a_softmax():
    logits = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model = keras.Sequential([keras.Input((8, 8, 3)), logits])
    for expected in (None, "single_label", "binary"):
        with pytest.raises(ValueError, match=r"cannot be told: .*'linear'"):
            task_of(model, expected)
    assert task_of(model, "regression") == "regression"
    data = kertl.data.from_arrays(np.zeros((8, 8, 8, 3), "uint8"), [0, 1] * 4, validation=0, test=0)
    with pytest.raises(ValueError, match=r"`model` must end in softmax"):
        kertl.fine_tune(model, data, recipe="deep")


def test_a_softmax_that_is_an_operation_is_found():
    inputs = keras.Input((8, 8, 3))
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inputs))
    assert task_of(keras.Model(inputs, keras.ops.softmax(logits))) == "single_label"


def test_a_model_that_ends_in_no_activation_may_be_anything():
    with pytest.raises(ValueError, match=r"'theirs' cannot be told: .*'linear'.*softmax.*sigmoid"):
        task_of(ending(keras.layers.Dense(2)))


@pytest.mark.parametrize("task", ["single_label", "binary", "multi_label", "regression"])
def test_a_built_model_says_its_task_itself(task):
    assert task_of(kertl.build(small_backbone(), num_classes=2, task=task)) == task


def test_only_a_model_with_scaled_targets_has_spreads():
    scaling = ((1.0, -5.0), (2.0, 0.5))
    model = kertl.build(small_backbone(), num_classes=2, task="regression", target_scaling=scaling)
    assert target_spreads(model) == [2.0, 0.5]
    assert target_spreads(kertl.build(small_backbone(), num_classes=2, task="regression")) is None
    assert target_spreads(small_classifier()) is None
