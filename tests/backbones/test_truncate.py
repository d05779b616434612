import keras
import numpy as np
import pytest

import kertl
from kertl.model import model_info
from tests.families import FAMILIES, lively, small_backbone
from tests.marks import some_of
from tests.messages import assert_names


def images(side, count=4):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def out(model, x):
    return keras.ops.convert_to_numpy(model(x))


@pytest.mark.parametrize(
    "name",
    some_of(
        ["MobileNetV2", "ResNet50", "ConvNeXtTiny", "NASNetMobile"], "MobileNetV2", late=("ConvNeXtTiny", "ResNet50")
    ),
)
def test_a_truncated_backbone_gives_what_the_whole_one_gives_behind_that_group(name):
    side = FAMILIES[name]
    whole = kertl.load_backbone(name, weights=None, input_shape=(side, side, 3))
    groups = kertl.layer_groups(whole)
    last = groups[len(groups) // 2]
    shorter = kertl.load_backbone(name, weights=None, input_shape=(side, side, 3), truncate_at=last.name)
    lively(whole, images(side, 8))
    kept = kertl.layer_groups(shorter)
    by_name = {layer.name: layer for group in groups for layer in group.layers}
    for layer in (layer for group in kept for layer in group.layers if isinstance(layer, keras.layers.Layer)):
        layer.set_weights(by_name[layer.name].get_weights() if layer.weights else [])
    assert [group.name for group in kept] == [group.name for group in groups[: len(groups) // 2 + 1]]
    assert shorter.count_params() == sum(group.parameters for group in kept) < whole.count_params()
    prefix, _ = kertl.split(whole, groups[len(groups) // 2 + 1].name)
    expected = prefix(images(side))
    expected = keras.ops.convert_to_numpy(expected[-1] if isinstance(expected, list) else expected)
    assert np.abs(out(shorter, images(side)) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert shorter.backbone_name == f"{name}_{last.name}"


def test_a_trained_model_can_be_truncated_and_shares_its_layers():
    trained = small_backbone()
    shorter = kertl.load_backbone(trained, truncate_at="block2")
    assert shorter.output_shape == (None, 8, 8, 16)
    assert {id(variable) for variable in shorter.variables} < {id(variable) for variable in trained.variables}


def test_a_model_on_a_truncated_backbone_is_built_saved_and_loaded(tmp_path):
    backbone = kertl.load_backbone("VGG16", weights=None, input_shape=(64, 64, 1), truncate_at="block3")
    model = kertl.build(backbone, class_names=["a", "b"])
    kertl.save(model, tmp_path / "m.keras")
    loaded = kertl.load(tmp_path / "m.keras")
    x = images(64)[..., :1]
    np.testing.assert_allclose(out(loaded, x), out(model, x), rtol=1e-6, atol=1e-7)
    assert model_info(loaded).backbone == "VGG16_block3"


@pytest.mark.parametrize("at", ["blok4", 3, "deep", "head"])
def test_a_group_that_is_not_there_is_answered_with_the_groups(at):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(small_backbone(), truncate_at=at)
    groups = "'stem_conv', 'block1', 'block2', 'block3', 'block4'"
    assert_names(caught.value, "`truncate_at`", "'small'", f"truncate_at={at!r}", groups)
    assert ("Did you mean" in str(caught.value)) == (at == "blok4")
