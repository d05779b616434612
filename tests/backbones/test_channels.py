import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import kertl
from tests.families import lively, small_backbone
from tests.marks import some_of
from tests.messages import assert_names

# One Application of each kind of preprocessing.
KINDS = {"torch": "DenseNet121", "tf": "MobileNetV2", "caffe": "ResNet50", "none": "MobileNetV3Small"}


def images(channels, side=64, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, channels)).astype("float32")


def out(model, x):
    return keras.ops.convert_to_numpy(model(x))


def pair(name, channels, side=64):
    """A backbone for three channels and one for `channels`, of the same weights."""
    three = kertl.load_backbone(name, weights=None, input_shape=(side, side, 3))
    lively(three, images(3, side, 8))
    other = kertl.load_backbone(name, weights=None, input_shape=(side, side, channels))
    other.set_weights([other.get_layer("to_three_channels").get_weights()[0], *three.get_weights()])
    return three, other


@pytest.mark.parametrize(
    "name", [pytest.param(name, id=kind, marks=[pytest.mark.slow] * (kind == "torch")) for kind, name in KINDS.items()]
)
def test_a_grey_picture_gives_what_its_three_equal_channels_give(name):
    three, grey = pair(name, 1)
    x = images(1)
    expected = out(three, np.repeat(x, 3, axis=-1))
    assert grey.input_shape == (None, 64, 64, 1)
    assert np.abs(out(grey, x) - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize("channels", [4, 7])
def test_of_more_than_three_channels_the_first_three_count_at_the_start(channels):
    three, more = pair("MobileNetV2", channels)
    x = images(channels)
    expected = out(three, x[..., :3])
    assert np.abs(out(more, x) - expected).max() <= 1e-6 * np.abs(expected).max()


def test_the_third_of_two_channels_is_their_mean():
    three, two = pair("MobileNetV2", 2)
    x = images(2)
    expected = out(three, np.concatenate([x, x.mean(axis=-1, keepdims=True)], axis=-1))
    assert np.abs(out(two, x) - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    "name", some_of([*KINDS.values(), "ConvNeXtTiny", "EfficientNetB0", "VGG16"], "MobileNetV2", "VGG16")
)
def test_the_convolution_is_the_first_group_and_the_others_are_those_of_three_channels(name):
    three = kertl.layer_groups(kertl.load_backbone(name, weights=None, input_shape=(64, 64, 3)))
    first, *others = kertl.layer_groups(kertl.load_backbone(name, weights=None, input_shape=(64, 64, 5)))
    assert (first.name, first.stride) == ("to_three_channels", 1)
    assert [layer.name for layer in first.layers if getattr(layer, "trainable_variables", ())] == ["to_three_channels"]
    assert [(group.name, group.stride) for group in others] == [(group.name, group.stride) for group in three]
    assert sum(g.parameters for g in (first, *others)) == 15 + sum(g.parameters for g in three)


@pytest.mark.promise
@pytest.mark.slow
def test_the_convolution_trains_at_full_and_only_then():
    model = kertl.build("MobileNetV3Small", num_classes=2, weights=None, input_shape=(64, 64, 5))
    kernel = model.get_layer("to_three_channels").kernel
    before = np.array(kernel)
    for at, moves in (("mid", False), ("full", True)):
        stage = kertl.stage_model(model, at)
        stage.compile("sgd", "sparse_categorical_crossentropy")
        stage.fit(images(5), np.array([0, 1, 0, 1]), verbose=0)
        assert (np.abs(np.array(kernel) - before).max() > 0) == moves, at
        assert np.isfinite(np.array(kernel)).all()


@pytest.mark.promise
@pytest.mark.slow
def test_a_grey_model_is_saved_loads_without_kertl_and_is_a_backbone_again(tmp_path):
    model = kertl.build("MobileNetV2", class_names=["a", "b"], weights=None, input_shape=(64, 64, 1))
    model.get_layer("to_three_channels").set_weights([np.array([[[[0.9, 1.0, 1.1]]]], "float32")])
    kertl.save(model, tmp_path / "grey.keras")
    x = images(1)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", out(model, x))
    code = (
        "import sys; sys.modules['kertl'] = None\n"
        "import keras, numpy as np\n"
        "model = keras.saving.load_model('grey.keras')\n"
        "np.testing.assert_allclose(model(np.load('x.npy')), np.load('y.npy'), rtol=1e-6, atol=1e-7)\n"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    backbone = kertl.load_backbone(tmp_path / "grey.keras")
    assert backbone.input_shape == (None, 64, 64, 1)
    assert backbone.backbone_name == "MobileNetV2"
    features = keras.Model(model.input, model.get_layer("average_pooling").input)
    np.testing.assert_allclose(out(backbone, x), out(features, x), rtol=1e-6, atol=1e-6)


def test_a_trained_model_of_three_channels_takes_grey_pictures():
    trained = small_backbone()
    grey = kertl.load_backbone(trained, input_shape=(32, 32, 1))
    x = images(1, 32)
    np.testing.assert_allclose(out(grey, x), out(trained, np.repeat(x, 3, axis=-1)), rtol=1e-5, atol=1e-5)


def test_a_model_that_was_trained_on_other_channels_keeps_them():
    inputs = keras.Input((32, 32, 1))
    convolution = keras.layers.Conv2D(4, 3, strides=2, name="first")
    trained = keras.Model(inputs, convolution(keras.layers.Rescaling(1 / 255)(inputs)), name="xray")
    assert kertl.load_backbone(trained).input_shape == (None, 32, 32, 1)
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(trained, input_shape=(32, 32, 3))
    assert_names(caught.value, "`input_shape`", "1 channels", "'xray'", "input_shape=(32, 32, 3)")


def test_colour_preprocessing_of_a_grey_model_is_refused():
    inputs = keras.Input((32, 32, 1))
    trained = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="first")(inputs), name="xray")
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(trained, preprocessing="caffe")
    assert_names(caught.value, "`preprocessing`", "1 channels", "'none'", "'unit'", "'tf'", "preprocessing='caffe'")
