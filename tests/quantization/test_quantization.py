"""The rounded network, its grids, what a converter makes of it, and what it is held against."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import kertl
from kertl.groups import find_chain
from kertl.quantization import Exact, FakeQuantised, note_ranges, noted_network, plan_of
from kertl.quantization._grid import ends, rounded, rounded_kernel
from tests.families import lively
from tests.messages import assert_names
from tests.runs import NAMES, squares

_PICTURES = squares().train.batch(0, 0)[0]


def mobile(activation="relu6", preprocessing=None, norm_first=False):
    """Every kind of layer: convolutions of each sort, folded and lone BatchNorm, sums and products."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = (preprocessing or layers.Rescaling(1 / 127.5, offset=-1.0))(inputs)
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(layers.ZeroPadding2D(1)(x))
    if not norm_first:
        x = layers.BatchNormalization()(x)
    shortcut = x = layers.Activation(activation)(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation=activation)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(8, 1)(layers.BatchNormalization()(layers.Dropout(0.2)(x)))
    x = layers.ReLU()(layers.Add()([shortcut, x]))
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="silu")(gate))
    x = layers.Multiply()([x, gate])
    x = layers.AveragePooling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.GlobalMaxPooling2D()(x) if norm_first else layers.GlobalAveragePooling2D()(x)
    x = layers.BatchNormalization()(layers.Dense(8, use_bias=False)(x))
    outputs = layers.Dense(3, activation="softmax")(layers.Activation("relu")(x))
    model = lively(keras.Model(inputs, outputs), _PICTURES)
    return kertl.model.set_model_info(model, kertl.model.ModelInfo("single_label", tuple(NAMES), "none", "1"))


def calibrated(model):
    network = FakeQuantised(plan_of(find_chain(model)))
    network.calibrate([_PICTURES])
    return network


def test_activations_are_rounded_as_tensorflow_rounds_them():
    values = np.random.default_rng(0).normal(size=1000).astype("float32") * 3
    found = keras.ops.convert_to_numpy(rounded(values, -1.7, 4.1))
    wanted = tf.quantization.fake_quant_with_min_max_args(values, -1.7, 4.1).numpy()
    assert np.abs(found - wanted).max() < 1e-5
    low, high = ends(-1.7, 4.1)
    assert found.min() == pytest.approx(low, abs=1e-6)
    assert found.max() == pytest.approx(high, abs=1e-6)
    assert 0 in found


def test_the_gradient_passes_the_rounding_and_ends_where_values_are_cut_off():
    values = tf.Variable([-3.0, 0.3, 1.2, 9.0])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(rounded(values, -1.0, 4.0))
    assert tape.gradient(total, values).numpy().tolist() == [0, 1, 1, 0]


def test_each_output_channel_of_a_kernel_has_a_grid_of_its_own():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype("float32") * [1, 10, 100, 0, 0.1]
    found = keras.ops.convert_to_numpy(rounded_kernel(kernel.astype("float32"), (0, 1, 2)))
    scale = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    assert (np.abs(found - kernel) <= scale / 2 * 1.001 + 1e-12).all()
    steps = found[..., :3] / scale[:3]
    assert np.abs(steps - np.rint(steps)).max() < 1e-3
    assert not found[..., 3].any()


def test_the_rounded_network_is_near_the_model_and_ends_on_the_grid_of_probabilities():
    model = mobile()
    found = keras.ops.convert_to_numpy(calibrated(model)(_PICTURES.astype("float32")))
    assert np.abs(found - model.predict(_PICTURES, verbose=0)).max() < 0.25
    assert np.array_equal(np.rint(found * 256), found * 256)


def test_batch_norm_that_trains_is_folded_with_its_batch_and_moves_until_it_is_frozen():
    model = mobile()
    network = calibrated(model)
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    before = [norm.moving_mean.numpy().copy(), network.ranges.numpy().copy()]
    network(_PICTURES.astype("float32") / 2, training=True)
    assert not np.allclose(norm.moving_mean.numpy(), before[0])
    assert not np.allclose(network.ranges.numpy(), before[1])
    network.observing.assign(0.0)
    before = [norm.moving_mean.numpy().copy(), network.ranges.numpy().copy()]
    network(_PICTURES.astype("float32") / 2, training=True)
    assert np.array_equal(norm.moving_mean.numpy(), before[0])
    assert np.array_equal(network.ranges.numpy(), before[1])
    network.observing.assign(1.0)
    norm.trainable = False
    network(_PICTURES.astype("float32") / 2, training=True)
    assert np.array_equal(norm.moving_mean.numpy(), before[0])


def many_depths():
    """Depths of a small net pooled in every way: of a pooled map, of a join, and of one with squeeze and excitation."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="silu")(layers.Rescaling(1 / 127.5, offset=-1.0)(inputs))
    first = x = layers.MaxPooling2D(2)(x)
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(x)])
    x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(layers.BatchNormalization()(x))])
    late = x = layers.Conv2D(8, 2, activation="relu")(x)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    last = layers.Multiply()([x, layers.Conv2D(8, 1, activation="sigmoid")(gate)])
    pooled = []
    for maps in (first, late, last):
        deviation = keras.ops.sqrt(keras.ops.var(maps, axis=(1, 2)) + 1e-6)
        pooled += [layers.GlobalAveragePooling2D()(maps), layers.GlobalMaxPooling2D()(maps), deviation]
    x = layers.Dropout(0.2)(layers.Concatenate()(pooled))
    model = lively(keras.Model(inputs, layers.Dense(3, activation="softmax")(x)), _PICTURES)
    return kertl.model.set_model_info(model, kertl.model.ModelInfo("single_label", tuple(NAMES), "none", "1"))


def test_all_that_is_joined_lies_on_one_grid():
    network = calibrated(many_depths())
    plan = network.plan
    joins = [node for node in plan.nodes if node.kind == "join"]
    ranges = keras.ops.convert_to_numpy(network.ranges)
    spans = [tuple(map(float, plan.span(node.range, ranges))) for node in joins]
    assert spans[0] == spans[1] != spans[2]
    assert [len(group) for group in plan.together] == [4, 10]
    for group in plan.together:
        assert plan.span(group[0], ranges)[0] == ranges[list(group), 0].min()
        assert plan.span(group[-1], ranges)[1] == ranges[list(group), 1].max()


def test_an_export_of_many_depths_computes_the_whole_numbers_of_the_reference(tmp_path):
    model = many_depths()
    note_ranges(model, calibrated(model))
    kertl.save(model, tmp_path / "m.keras")
    found = kertl.export(tmp_path / "m.keras", tmp_path / "m.tflite", format="litert", quantize="int8", data=squares())
    assert found.within_one_step == 1
    pictures = squares().test.in_order().reader.take(np.arange(12))
    run = kertl._runtimes.open_litert(tmp_path / "m.tflite")
    np.testing.assert_array_equal(run(pictures), Exact(noted_network(kertl.load(tmp_path / "m.keras")))(pictures))


def bgr_minus_mean():
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, inputs[..., ::-1] - np.array([103.9, 116.8, 123.7], "float32"))


@pytest.mark.parametrize(
    "options",
    [{}, {"activation": "silu", "norm_first": True}, {"preprocessing": bgr_minus_mean()}],
    ids=["relu6", "silu", "caffe"],
)
def test_an_export_computes_in_whole_numbers_what_was_trained(tmp_path, options):
    model = mobile(**options)
    note_ranges(model, calibrated(model))
    kertl.save(model, tmp_path / "m.keras")
    found = kertl.export(tmp_path / "m.keras", tmp_path / "m.tflite", format="litert", quantize="int8", data=squares())
    assert found.within_one_step >= 0.999
    assert found.where == "12 test images"


def test_ranges_are_saved_and_go_with_their_weights_only(tmp_path):
    model = mobile()
    network = calibrated(model)
    note_ranges(model, network)
    kertl.save(model, tmp_path / "m.keras")
    loaded = kertl.load(tmp_path / "m.keras")
    again = noted_network(loaded)
    assert np.array_equal(again.ranges.numpy(), network.ranges.numpy())
    assert np.array_equal(again(_PICTURES), network(_PICTURES))
    loaded.layers[-1].set_weights([2 * one for one in loaded.layers[-1].get_weights()])
    assert noted_network(loaded) is None
    assert noted_network(mobile()) is None


@pytest.mark.parametrize("ranges", [[[1, 0]], [[0, None]], {}, [[0]]])
def test_noted_ranges_that_are_none_are_refused(ranges):
    values = {"task": "single_label", "class_names": [], "backbone": "", "kertl": "1"}
    with pytest.raises(ValueError, match="int8 has ranges"):
        kertl.model.ModelInfo.from_json(json.loads(json.dumps({**values, "int8": {"ranges": ranges, "weights": ""}})))


def test_other_layers_and_preprocessing_are_refused():
    with pytest.raises(ValueError, match="quantize") as told:
        plan_of(find_chain(mobile(activation="gelu")))
    assert_names(str(told.value), "left out", "Activation", "silu")
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(2, 3)(inputs**2)
    with pytest.raises(ValueError, match="preprocessing of 'squared' does more than multiply and add"):
        plan_of(find_chain(keras.Model(inputs, keras.layers.Flatten()(x), name="squared")))


def test_joined_probabilities_are_refused():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3)(inputs)
    joined = keras.layers.Concatenate(name="both")([x, keras.layers.Activation("sigmoid")(x)])
    with pytest.raises(ValueError, match=r"joins pixels or probabilities with other features\. Received: .*'both'"):
        plan_of(find_chain(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(joined))))
