"""Heads that see several depths: what they see, and cutting a model that has one."""

import keras
import numpy as np
import pytest

import kertl
from kertl.groups import depths_of, find_chain
from tests.families import FAMILIES, lively, small_backbone, tiny_backbone
from tests.marks import some_of
from tests.messages import assert_names
from tests.runs import python, squares


def pictures(model, count=3):
    return np.random.default_rng(0).uniform(0, 255, (count, *model.input_shape[1:])).astype("float32")


def wide(backbone=None, **head):
    backbone = backbone or kertl.load_backbone(lively(small_backbone(), pictures(small_backbone())))
    return kertl.build(backbone, num_classes=3, head=kertl.Head(**{"depths": "auto", **head}))


def names(model):
    return [group.name for group in kertl.layer_groups(model)]


def test_the_groups_are_those_of_the_backbone_and_the_head():
    model = wide()
    assert names(model) == [*names(small_backbone()), "head"]
    (head,) = kertl.layer_groups(model)[-1:]
    assert [layer.name for layer in head.layers] == ["predictions"]


def test_a_map_and_the_vectors_of_earlier_depths_cross_a_boundary():
    shapes = kertl.layer_groups(wide(statistics=("mean", "max")))[2].output_shape
    assert shapes == [(8, 8, 16), *[(8,)] * 4, *[(16,)] * 2]


@pytest.mark.parametrize("at", ["deep", "mid", "block1", 2, "full"])
def test_the_suffix_after_the_prefix_is_the_model(at):
    model = wide()
    prefix, suffix = kertl.split(model, at)
    x = pictures(model)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(suffix(prefix(x, training=False), training=False), expected, atol=1e-6)
    assert np.ptp(expected, axis=0).max() > 1e-4  # pictures differ


@pytest.mark.parametrize(
    "name",
    some_of(
        ["ConvNeXtTiny", "EfficientNetB0", "NASNetMobile", "MobileNetV2", "VGG16"],
        "MobileNetV2",
        "VGG16",
        late=("ConvNeXtTiny", "NASNetMobile"),
    ),
)
def test_families_have_a_head_of_all_depths_that_is_cut_like_any_other(name):
    side = FAMILIES[name]
    backbone = kertl.load_backbone(name, weights=None, input_shape=(side, side, 3))
    lively(backbone, pictures(backbone))
    model = wide(backbone)
    assert names(model)[:-1] == names(kertl.build(backbone, num_classes=3))[:-1]
    x = pictures(model)
    for at in ("deep", "mid"):
        prefix, suffix = kertl.split(model, at)
        expected = np.asarray(model(x, training=False))
        np.testing.assert_allclose(suffix(prefix(x, training=False), training=False), expected, atol=1e-5)
    assert kertl.load_backbone(model).output_shape == backbone.output_shape


def test_the_features_are_statistics_of_the_widest_activations():
    small = lively(small_backbone(), pictures(small_backbone()))
    maps_of = keras.Model(small.input, [small.get_layer(name).output for name in ("block2_drop", "block4_drop")])
    x = pictures(small)
    prefix, _ = kertl.split(wide(kertl.load_backbone(small), depths=["block2", "block4"]), "deep")
    expected = []
    for maps in maps_of.predict(x, verbose=0):
        flat = maps.reshape(len(x), -1, maps.shape[-1])
        expected += [flat.mean(axis=1), flat.max(axis=1), np.sqrt(flat.var(axis=1) + 1e-6)]
    np.testing.assert_allclose(prefix.predict(x, verbose=0), np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)


def inverted_residual():
    """A block that is wide inside, with a gate, and narrow at its ends."""
    inputs = keras.Input((16, 16, 3))
    x = start = keras.layers.Conv2D(4, 3, padding="same", name="block1_conv")(inputs)
    x = keras.layers.Conv2D(24, 1, activation="swish", name="block2_expand")(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", name="block2_depthwise")(x)
    x = keras.layers.Activation("swish", name="block2_swish")(x)
    gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name="block2_squeeze")(x)
    gate = keras.layers.Conv2D(24, 1, activation="sigmoid", name="block2_gate")(gate)
    x = keras.layers.Multiply(name="block2_gated")([x, gate])
    x = keras.layers.Conv2D(4, 1, name="block2_project")(x)
    x = keras.layers.Add(name="block2_add")([x, start])
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="block3_conv")(x)
    return keras.Model(inputs, x)


def test_of_an_inverted_residual_the_wide_activation_is_seen_and_no_gate():
    chain = find_chain(inverted_residual())
    refs = depths_of(chain, "auto", 100)
    made = {step.outputs[0]: step.operation.name for step in chain.graph.steps}
    assert {name: made[ref] for name, ref in refs.items()} == {
        "block1": "block1_conv",
        "block2": "block2_swish",
        "block3": "block3_conv",
    }


def test_by_rule_there_are_at_most_so_many_channels_and_always_the_end():
    chain = find_chain(inverted_residual())
    assert list(depths_of(chain, "auto", 12)) == ["block1", "block3"]
    assert list(depths_of(chain, "auto", 1)) == ["block3"]


def test_groups_that_do_not_exist_are_named():
    with pytest.raises(ValueError, match="`depths` must be") as error:
        wide(depths=["block7"])
    assert_names(error.value, "depths", "block7", "block4", "auto", "last")


def test_a_constant_channel_has_a_gradient():
    backbone = kertl.load_backbone(tiny_backbone())
    model = wide(backbone, statistics=("std",))
    x = np.full((2, 32, 32, 3), 90, "float32")
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, np.array([0, 1]), verbose=0)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


def multi_scale(parallel):
    """Somebody's classifier that joins pooled features of three depths, or of three branches side by side."""
    inputs = x = keras.Input((16, 16, 3))
    pooled = []
    for number, filters in enumerate((4, 6, 8), start=1):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{number}_conv")(
            inputs if parallel else x
        )
        pooled.append(keras.layers.GlobalAveragePooling2D()(x))
    x = keras.layers.Concatenate()(pooled)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


def test_a_head_of_several_depths_from_elsewhere_is_known():
    model = multi_scale(parallel=False)
    assert names(model) == ["block1", "block2", "block3", "head"]
    assert kertl.load_backbone(model, preprocessing="none").output_shape == (None, 16, 16, 8)


def test_branches_side_by_side_are_one_group():
    model = multi_scale(parallel=True)
    assert len(names(model)) == 2
    x = pictures(model)
    prefix, suffix = kertl.split(model, "deep")
    np.testing.assert_allclose(suffix(prefix(x)), model(x), atol=1e-6)


@pytest.mark.promise
@pytest.mark.slow
def test_plain_keras_loads_the_model_without_kertl(tmp_path):
    model = wide()
    kertl.save(model, tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", pictures(model))
    python(f"""
        import keras, numpy as np, sys
        model = keras.models.load_model({str(tmp_path / "m.keras")!r})
        np.save({str(tmp_path / "y.npy")!r}, model.predict(np.load({str(tmp_path / "x.npy")!r}), verbose=0))
        assert not any(name.startswith("kertl") for name in sys.modules)
    """)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), model.predict(pictures(model), verbose=0), atol=1e-6)


def gated():
    """Pooled depths that decide about a later map, and are no head."""
    inputs = keras.Input((16, 16, 3))
    first = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="block1_conv")(inputs)
    second = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="block2_conv")(first)
    third = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="block3_conv")(second)
    joined = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(one) for one in (first, second)])
    gate = keras.layers.Reshape((1, 1, 16))(keras.layers.Dense(16, activation="sigmoid")(joined))
    x = keras.layers.Conv2D(12, 3, activation="relu", name="block4_conv")(keras.layers.Multiply()([third, gate]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))


def test_pooled_depths_that_are_no_head_are_part_of_the_backbone():
    model = gated()
    assert kertl.load_backbone(model, preprocessing="none").output_shape == (None, 6, 6, 12)
    assert not find_chain(model).sees_depths
    x = pictures(model)
    for at in range(1, len(names(model))):
        prefix, suffix = kertl.split(model, at)
        np.testing.assert_allclose(suffix(prefix(x)), model(x), atol=1e-6)


def test_vectors_that_a_backbone_was_made_to_give_stay():
    model = multi_scale(parallel=False)
    joined = keras.Model(model.input, model.layers[-2].output)
    assert kertl.load_backbone(joined, preprocessing="none").output_shape == (None, 18)


def test_names_that_the_backbone_has_are_not_given_again():
    inputs = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="block1_predictions")(inputs)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="predictions")(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="depths")(x)
    model = wide(kertl.load_backbone(keras.Model(inputs, x), preprocessing="none"))
    assert model.layers[-1].name == "predictions_of_head"


def test_baselines_of_a_model_with_such_a_head_are_those_of_its_backbone():
    data, backbone = squares(per_class=8), kertl.load_backbone(tiny_backbone())
    by_depth = kertl.baselines(backbone, data).by_depth()
    assert kertl.baselines(wide(backbone), data).by_depth() == by_depth
