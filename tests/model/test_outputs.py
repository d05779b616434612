import keras
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


def test_a_model_that_ends_in_no_activation_may_be_anything():
    with pytest.raises(ValueError, match="cannot be told") as caught:
        task_of(ending(keras.layers.Dense(2)))
    assert str(caught.value) == (
        "The task of 'theirs' cannot be told: kertl has not built it, and its last activation is 'linear'. "
        "A classifier must end in softmax (one class of several) or sigmoid."
    )


@pytest.mark.parametrize("task", ["single_label", "binary", "multi_label", "regression"])
def test_a_built_model_says_its_task_itself(task):
    assert task_of(kertl.build(small_backbone(), num_classes=2, task=task)) == task


def test_only_a_model_with_scaled_targets_has_spreads():
    scaling = ((1.0, -5.0), (2.0, 0.5))
    model = kertl.build(small_backbone(), num_classes=2, task="regression", target_scaling=scaling)
    assert target_spreads(model) == [2.0, 0.5]
    assert target_spreads(kertl.build(small_backbone(), num_classes=2, task="regression")) is None
    assert target_spreads(small_classifier()) is None
