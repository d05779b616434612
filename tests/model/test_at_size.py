import dataclasses

import keras
import numpy as np
import pytest

import kertl
from kertl.model import at_size
from tests.families import small_backbone
from tests.marks import some_of

SIZED = ["MobileNetV2", "ResNet50", "EfficientNetV2B0", "ConvNeXtTiny", "VGG16", "DenseNet121"]


@pytest.mark.parametrize(
    "name", some_of(SIZED, "MobileNetV2", "VGG16", late=("ConvNeXtTiny", "DenseNet121", "ResNet50"))
)
def test_a_model_at_another_size_is_what_it_would_be_if_built_there(name):
    keras.utils.set_random_seed(0)
    model = kertl.build(name, num_classes=3, weights=None, input_shape=(64, 64, 3))
    built = kertl.build(name, num_classes=3, weights=None, input_shape=(96, 128, 3))
    built.set_weights(model.get_weights())
    pictures = np.random.default_rng(0).integers(0, 256, (2, 96, 128, 3)).astype("float32")
    other = at_size(model, (96, 128))
    np.testing.assert_allclose(other(pictures), built(pictures), atol=1e-5)
    assert {id(variable) for variable in other.variables} == {id(variable) for variable in model.variables}
    assert kertl.layer_groups(other)[3].name == kertl.layer_groups(model)[3].name


def test_the_models_own_size_gives_the_model_itself():
    model = small_backbone()
    assert at_size(model, tuple(model.input_shape[1:3])) is model
    open_size = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)])
    assert at_size(open_size, (50, 70)) is open_size


def test_the_task_goes_with_it():
    model = kertl.build("MobileNetV2", class_names=["a", "b"], task="binary", weights=None, input_shape=(32, 32, 3))
    info = kertl.model.model_info(at_size(model, (64, 64)))
    assert info.image_size == (64, 64)
    assert dataclasses.replace(info, image_size=model.input_shape[1:3]) == kertl.model.model_info(model)


def test_layers_that_fit_one_size_only_are_named_as_the_reason():
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"^`image_size` must be \(32, 32\)"):
        at_size(model, (64, 64))
