import json
import sys

import keras
import numpy as np
import pytest

import kertl
from kertl.backbones import _cv
from kertl.errors import WeightsError
from tests.backbones.kinds import cv
from tests.families import lively
from tests.messages import assert_names

SIDE = 32


def images(side=SIDE, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def out(model, x):
    return keras.ops.convert_to_numpy(model(x))


def resnet(**config):
    shape = {"input_shape": (SIDE, SIDE, 3), **config}
    layers = {"stackwise_filters": [8, 16], "stackwise_blocks": [2, 1], "stackwise_strides": [1, 2]}
    return lively(cv("ResNet", **layers, **shape), images(count=8))


def preset(folder, backbone):
    """A preset as KerasCV writes one."""
    from keras_cv.src.utils.preset_utils import save_to_preset

    save_to_preset(backbone, str(folder))
    return folder


def test_a_preset_gives_the_backbone_with_its_rescaling_inside(tmp_path):
    backbone = resnet()
    loaded = kertl.load_backbone(f"cv:{preset(tmp_path / 'small', backbone)}")
    assert loaded.backbone_name == "small"
    assert loaded.input_shape == (None, SIDE, SIDE, 3)
    np.testing.assert_allclose(out(loaded, images()), out(backbone, images()), rtol=1e-5, atol=1e-5)
    random = kertl.load_backbone(f"cv:{tmp_path / 'small'}", weights=None)
    assert not np.array_equal(random.get_weights()[0], loaded.get_weights()[0])


def test_a_backbone_in_memory_takes_another_size():
    backbone = resnet(name="mine")
    same = kertl.load_backbone(backbone)
    assert {id(weight) for weight in same.weights} == {id(weight) for weight in backbone.weights}
    larger = kertl.load_backbone(backbone, input_shape=(64, 64, 3))
    assert larger.output_shape == (None, 8, 8, 64)
    np.testing.assert_array_equal(larger.get_weights()[0], backbone.get_weights()[0])


def test_a_backbone_without_rescaling_needs_to_be_told():
    import keras_cv

    backbone = keras_cv.models.DenseNetBackbone(
        stackwise_num_repeats=[1, 1], include_rescaling=False, input_shape=(SIDE, SIDE, 3), name="dense"
    )
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(backbone)
    assert_names(caught.value, "`preprocessing`", "'dense'", "include_rescaling=False", "preprocessing=None")
    assert_names(caught.value, "'none'", "'unit'", "'tf'", "'torch'", "'caffe'")
    told = kertl.load_backbone(backbone, preprocessing="unit")
    np.testing.assert_allclose(out(told, images()), out(backbone, images() / 255), rtol=1e-4, atol=1e-5)


def test_a_family_that_does_not_build_under_this_keras_says_so(tmp_path):
    import keras_cv

    broken = keras_cv.models.ResNetV2Backbone
    folder = preset(tmp_path / "v2", resnet())
    config = json.loads((folder / "config.json").read_text())
    config.update(
        module=broken.__module__,
        class_name=broken.__name__,
        registered_name=keras.saving.get_registered_name(broken),
    )
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone(f"cv:{folder}")
    assert_names(
        caught.value, folder, f"Keras {keras.__version__}", "is used 2 times in the model", "`kertl backbones hub:`"
    )


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone("cv:mobilenet_v3_smal")
    assert_names(
        caught.value, "`source`", "source='cv:mobilenet_v3_smal'", "'mobilenet_v3_small'", "`kertl backbones cv:`"
    )


def test_a_weights_file_that_does_not_exist_is_found_before_the_preset_is_built(monkeypatch):
    monkeypatch.setattr(_cv, "_from_preset", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(WeightsError, match=r"There is no weights file 'mine\.weights\.h5'"):
        kertl.load_backbone("cv:resnet50_imagenet", weights="mine.weights.h5")


def test_a_preset_that_cannot_be_downloaded_says_how_to_pass_its_folder(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("kagglehub.model_download", fail)
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("cv:resnet50_imagenet")
    assert_names(caught.value, "'resnet50_imagenet'", "no route to host", "`kagglehub`", "load_backbone('cv:FOLDER')")


def test_where_keras_cv_is_missing_loading_says_how_to_install_it(tmp_path, monkeypatch):
    kertl.save(kertl.build(resnet(), num_classes=2), tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "keras_cv", None)
    with pytest.raises(ImportError) as caught:
        kertl.load(tmp_path / "m.keras")
    assert_names(caught.value, tmp_path / "m.keras", "keras_cv", "pip install keras-cv")
