import json
import subprocess
import sys

import keras
import numpy as np
import pytest

import kertl
from kertl.errors import WeightsError
from kertl.model import model_info
from tests.backbones.kinds import PICTURE, TRANSFORMER, hub
from tests.families import lively
from tests.messages import assert_names

SIDE = 32
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

# The converters that KerasHub's presets have: name -> (arguments, the formula for pixels 0..255).
CONVERTERS = {
    "none": ({}, lambda x: x),
    "unit": ({"scale": 1 / 255}, lambda x: x / 255),
    "symmetric": ({"scale": 1 / 127.5, "offset": -1.0}, lambda x: x / 127.5 - 1),
    "mean and deviation": (
        {"scale": (1 / 255 / DEVIATION).tolist(), "offset": (-MEAN / DEVIATION).tolist()},
        lambda x: (x / 255 - MEAN) / DEVIATION,
    ),
}


def images(side=SIDE, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def out(model, x):
    return keras.ops.convert_to_numpy(model(x))


def vgg():
    return lively(hub("VGG", stackwise_num_repeats=[1, 1], stackwise_num_filters=[4, 8]), images() / 255)


def vit(**config):
    return hub("ViT", mlp_dim=32, **{**PICTURE, **TRANSFORMER, **config})


def preset(folder, backbone, family, **arguments):
    """A preset as KerasHub itself writes one: backbone and image converter."""
    import keras_hub

    backbone.save_to_preset(str(folder))
    converter = getattr(keras_hub.layers, f"{family}ImageConverter")(image_size=(SIDE, SIDE), **arguments)
    converter.save_to_preset(str(folder))
    return converter


# Presets -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONVERTERS)
def test_a_preset_gives_the_backbone_behind_its_image_converter(tmp_path, name):
    arguments, formula = CONVERTERS[name]
    backbone = vgg()
    converter = preset(tmp_path, backbone, "VGG", **arguments)
    loaded = kertl.load_backbone(f"hub:{tmp_path}")
    x = images()
    assert loaded.input_shape == (None, SIDE, SIDE, 3)
    for pixels in (converter(x), formula(x.astype("float64")).astype("float32")):
        expected = out(backbone, pixels)
        assert np.abs(out(loaded, x) - expected).max() <= 1e-5 * np.abs(expected).max()
    again = preset_of_saved(loaded, tmp_path)
    np.testing.assert_allclose(out(again, x), out(loaded, x), rtol=1e-5, atol=1e-5)


def preset_of_saved(backbone, folder):
    """The backbone inside a model that was built, saved and loaded."""
    kertl.save(kertl.build(backbone, num_classes=2), folder / "m.keras")
    return kertl.load_backbone(folder / "m.keras")


def test_the_backbone_stays_nested_whole_and_is_called_after_its_preset(tmp_path):
    preset(tmp_path / "vit_small", vit(), "ViT", scale=1 / 255)
    backbone = kertl.load_backbone(f"hub:{tmp_path / 'vit_small'}")
    assert backbone.backbone_name == "vit_small"
    assert [type(layer).__name__ for layer in backbone.layers] == ["InputLayer", "Rescaling", "ViTBackbone"]
    model = kertl.build(backbone, class_names=["a", "b"])
    assert model_info(model).backbone == "vit_small"
    assert model.name == "vit_small_single_label"


def test_weights_of_a_preset_may_be_left_out_or_come_from_a_file(tmp_path):
    backbone = vgg()
    preset(tmp_path / "preset", backbone, "VGG")
    before = backbone.get_weights()
    keras.utils.set_random_seed(5)
    random = kertl.load_backbone(f"hub:{tmp_path / 'preset'}", weights=None)
    assert not np.array_equal(random.get_weights()[0], before[0])
    backbone.set_weights([weight + 1 for weight in before])
    backbone.save_weights(tmp_path / "mine.weights.h5")
    mine = kertl.load_backbone(f"hub:{tmp_path / 'preset'}", weights=tmp_path / "mine.weights.h5")
    np.testing.assert_array_equal(mine.get_weights()[0], before[0] + 1)


def test_a_weights_file_that_does_not_exist_is_found_before_the_preset_is_built(monkeypatch):
    import keras_hub

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(WeightsError, match=r"There is no weights file 'mine\.weights\.h5'"):
        kertl.load_backbone("hub:vit_base_patch16_224_imagenet", weights="mine.weights.h5")


def test_a_preset_takes_pictures_of_another_size_and_of_one_channel(tmp_path):
    backbone = vgg()
    preset(tmp_path, backbone, "VGG", scale=1 / 255)
    loaded = kertl.load_backbone(f"hub:{tmp_path}", input_shape=(48, 64, 1))
    assert loaded.output_shape == (None, 12, 16, 8)
    x = np.random.default_rng(1).integers(0, 256, (2, 48, 64, 1)).astype("float32")
    expected = out(backbone, np.repeat(x, 3, axis=-1) / 255)
    assert np.abs(out(loaded, x) - expected).max() <= 1e-5 * np.abs(expected).max()


def dino(side=SIDE, trained_at=SIDE):
    shapes = {"image_shape": (side, side, 3), "position_embedding_shape": (trained_at, trained_at, 3)}
    return hub("DINOV2", intermediate_dim=32, name="dino", **shapes, **TRANSFORMER)


def test_dino_takes_another_size_as_keras_hub_itself_interpolates(tmp_path):
    small = dino()
    small.save_weights(tmp_path / "small.weights.h5")
    reference = dino(48)
    reference.load_weights(tmp_path / "small.weights.h5")
    larger = kertl.load_backbone(small, preprocessing="unit", input_shape=(48, 48, 3))
    x = images(48)
    np.testing.assert_allclose(out(larger, x), out(reference, {"images": x / 255}), rtol=1e-4, atol=1e-5)


def test_what_training_changes_in_the_positions_of_dino_survives_a_file(tmp_path):
    backbone = kertl.load_backbone(dino(trained_at=48), preprocessing="unit")
    model = kertl.build(backbone, num_classes=2, head=kertl.Head(pooling="token"))
    before = out(model, images())
    (positions,) = (weight for weight in model.weights if weight.path.endswith("interpolated_position_embeddings"))
    for sign in (1, -1):
        positions.assign(sign * np.abs(np.random.default_rng(0).normal(size=positions.shape)))
        kertl.save(model, tmp_path / "m.keras")
        after = out(kertl.load(tmp_path / "m.keras"), images())
        np.testing.assert_allclose(after, out(model, images()), rtol=1e-5, atol=1e-6)
        assert np.abs(after - before).max() > 0.01


def test_a_vit_refuses_another_size():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(vit(name="small"), preprocessing="tf", input_shape=(48, 48, 3))
    assert_names(caught.value, "`input_shape`", "(32, 32, 3)", "'small'", "input_shape=(48, 48, 3)")


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone("hub:resnet_50_imagnet")
    assert_names(
        caught.value, "`source`", "source='hub:resnet_50_imagnet'", "'resnet_50_imagenet'", "`kertl backbones hub:`"
    )


def test_a_preset_that_cannot_be_downloaded_says_how_to_pass_its_folder(monkeypatch):
    def fail(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr("kagglehub.model_download", fail)
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("hub:resnet_50_imagenet")
    assert_names(caught.value, "'resnet_50_imagenet'", "no route to host", "`kagglehub`", "load_backbone('hub:FOLDER')")


def test_a_preset_with_a_broken_config_is_refused(tmp_path):
    preset(tmp_path, vgg(), "VGG")
    (tmp_path / "config.json").write_text(json.dumps({"nothing": 1}))
    with pytest.raises(WeightsError, match="is not available"):
        kertl.load_backbone(f"hub:{tmp_path}")


# Preprocessing -------------------------------------------------------------------------------------------------------


def test_preprocessing_that_is_given_is_used_in_place_of_the_converter(tmp_path):
    backbone = vgg()
    preset(tmp_path / "vgg", backbone, "VGG")
    told = kertl.load_backbone(f"hub:{tmp_path / 'vgg'}", preprocessing="unit", input_shape=(SIDE, SIDE, 3))
    np.testing.assert_allclose(out(told, images()), out(backbone, images() / 255), rtol=1e-4, atol=1e-6)


def test_a_preset_without_converter_needs_to_be_told(tmp_path):
    backbone = vgg()
    backbone.save_to_preset(str(tmp_path / "bare"))
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(f"hub:{tmp_path / 'bare'}")
    assert_names(caught.value, "`preprocessing`", "'bare'", "preprocessing=None")
    assert_names(caught.value, "'none'", "'unit'", "'tf'", "'torch'", "'caffe'", "ImageConverter")
    told = kertl.load_backbone(f"hub:{tmp_path / 'bare'}", preprocessing="unit", input_shape=(SIDE, SIDE, 3))
    np.testing.assert_allclose(out(told, images()), out(backbone, images() / 255), rtol=1e-4, atol=1e-6)


def test_a_converter_that_does_more_is_refused():
    import keras_hub

    class Flipping(keras_hub.layers.ImageConverter):
        def call(self, inputs):
            return super().call(inputs)[:, ::-1]

    backbone = vgg()
    with pytest.raises(ValueError, match="converter Flipping"):
        kertl.load_backbone(backbone, preprocessing=Flipping())


def test_a_backbone_in_memory_takes_an_image_converter_and_shares_its_weights():
    import keras_hub

    backbone = vgg()
    converter = keras_hub.layers.ImageConverter(**CONVERTERS["mean and deviation"][0])
    loaded = kertl.load_backbone(backbone, preprocessing=converter, input_shape=(SIDE, SIDE, 3))
    assert {id(weight) for weight in loaded.weights} == {id(weight) for weight in backbone.weights}
    expected = out(backbone, converter(images()))
    assert np.abs(out(loaded, images()) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert "preprocessing" in [layer.name for layer in loaded.layers]


def test_a_classifier_in_memory_brings_its_backbone_and_its_converter():
    import keras_hub

    backbone = vit()
    converter = keras_hub.layers.ViTImageConverter(image_size=(SIDE, SIDE), scale=1 / 127.5, offset=-1.0)
    preprocessor = keras_hub.models.ViTImageClassifierPreprocessor(image_converter=converter)
    classifier = keras_hub.models.ViTImageClassifier(backbone, num_classes=4, preprocessor=preprocessor)
    loaded = kertl.load_backbone(classifier)
    np.testing.assert_allclose(out(loaded, images()), out(backbone, images() / 127.5 - 1), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"`weights` must be left out .*`source`"):
        kertl.load_backbone(classifier, weights=None)


def test_a_model_that_takes_no_pictures_is_refused():
    text = hub("Bert", vocabulary_size=10, num_layers=1, num_heads=1, hidden_dim=4, intermediate_dim=4)
    with pytest.raises(ValueError, match=r"`source` must .*\(height, width, 3\).*'bert"):
        kertl.load_backbone(text, preprocessing="none")


# Transformers --------------------------------------------------------------------------------------------------------


def test_a_vit_is_cut_between_its_blocks_and_mid_is_in_the_middle():
    backbone = kertl.load_backbone(vit(num_layers=4), preprocessing="tf")
    names = [group.name for group in kertl.layer_groups(backbone)]
    assert names == ["vit_patching_and_embedding", *(f"transformer_block_{n}" for n in (1, 2, 3, 4))]
    _, suffix = kertl.split(backbone, "mid")
    assert [group.name for group in kertl.layer_groups(suffix)] == names[2:]
    prefix, _ = kertl.split(backbone, "transformer_block_2")
    assert prefix.output_shape == (None, 17, 16)


def test_a_truncated_vit_is_the_first_blocks_and_the_last_norm():
    source = vit()
    whole = kertl.load_backbone(source, preprocessing="tf")
    shorter = kertl.load_backbone(source, preprocessing="tf", truncate_at="transformer_block_2")
    prefix, _ = kertl.split(whole, "transformer_block_3")
    expected = source.get_layer("vit_encoder").layer_norm(prefix(images()))
    np.testing.assert_allclose(out(shorter, images()), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"`truncate_at` must be .*'transformer_block_1'.*='vit_patching"):
        kertl.load_backbone(source, preprocessing="tf", truncate_at="vit_patching_and_embedding")


def test_an_encoder_whose_other_outputs_are_used_stays_one_layer():
    backbone = dino()
    both = keras.layers.Concatenate()([backbone.pyramid_outputs["stage1"], backbone.output])
    groups = kertl.layer_groups(keras.Model(backbone.inputs[0], both))
    assert sum(group.parameters for group in groups) == backbone.count_params()
    assert len(groups) < 4


# The package ---------------------------------------------------------------------------------------------------------


def test_where_keras_hub_is_missing_loading_says_how_to_install_it(tmp_path, monkeypatch):
    preset(tmp_path / "vgg", vgg(), "VGG")
    kertl.save(kertl.build(f"hub:{tmp_path / 'vgg'}", num_classes=2), tmp_path / "m.keras")
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    calls = {
        tmp_path / "m.keras": lambda: kertl.load(tmp_path / "m.keras"),
        f"hub:{tmp_path / 'vgg'}": lambda: kertl.load_backbone(f"hub:{tmp_path / 'vgg'}"),
    }
    for source, call in calls.items():
        with pytest.raises(ImportError) as caught:
            call()
        assert_names(caught.value, source, "keras_hub", "pip install keras-hub")


@pytest.mark.promise
@pytest.mark.slow
def test_a_saved_model_loads_in_a_new_process_through_kertl_alone(tmp_path):
    preset(tmp_path / "vit", vit(), "ViT", scale=1 / 255)
    model = kertl.build(f"hub:{tmp_path / 'vit'}", num_classes=2, head=kertl.Head(pooling="token"))
    kertl.save(model, tmp_path / "m.keras")
    np.save(tmp_path / "y.npy", out(model, images()))
    code = (
        "import sys, kertl, numpy as np\n"
        "assert 'keras_hub' not in sys.modules\n"
        "x = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype('float32')\n"
        "model = kertl.load(sys.argv[1] + '/m.keras')\n"
        "np.testing.assert_allclose(model(x), np.load(sys.argv[1] + '/y.npy'), rtol=1e-5, atol=1e-6)\n"
        "assert 'keras_cv' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.promise
@pytest.mark.slow
def test_neither_package_is_imported_for_an_application():
    code = (
        "import sys, kertl\n"
        "kertl.load_backbone('VGG16', weights=None, input_shape=(32, 32, 3))\n"
        "assert not {'keras_hub', 'keras_cv'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def hgnet():
    import keras_hub

    return keras_hub.models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[16, 32],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[(8, 8, 16, 1, 1, 3), (16, 8, 32, 1, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
        image_shape=(SIDE, SIDE, 3),
    )


def siglip():
    from keras_hub.src.models.siglip.siglip_vision_encoder import SigLIPVisionEncoder

    return SigLIPVisionEncoder(
        patch_size=8, hidden_dim=16, num_layers=2, num_heads=2, intermediate_dim=32, image_shape=(SIDE, SIDE, 3)
    )


@pytest.mark.parametrize("make", [hgnet, siglip, vgg], ids=lambda make: make.__name__)
def test_a_backbone_is_the_same_from_memory_and_from_its_file(tmp_path, make):
    source = make()
    source.save(tmp_path / "source.keras")
    options = {"preprocessing": "tf", "input_shape": (SIDE, SIDE, 3)}
    loaded = [kertl.load_backbone(one, **options) for one in (source, tmp_path / "source.keras")]
    pixels = images() / 127.5 - 1
    given = source({"images": pixels} if isinstance(source.input, dict) else pixels)
    given = list(given.values())[-1] if isinstance(given, dict) else given
    for backbone in loaded:
        np.testing.assert_allclose(out(backbone, images()), given, rtol=1e-4, atol=1e-5)
        prefix, suffix = kertl.split(backbone, "mid")
        np.testing.assert_allclose(out(suffix, prefix(images())), given, rtol=1e-4, atol=1e-5)
    shapes = [[group.output_shape for group in kertl.layer_groups(backbone)] for backbone in loaded]
    assert shapes[0] == shapes[1]
