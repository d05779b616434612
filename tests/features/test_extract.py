import itertools
import logging
import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import kertl
import kertl.data
from kertl.errors import DataError
from kertl.features import _choice, _openvino, _room
from tests.families import application, lively, small_classifier
from tests.marks import some_of
from tests.messages import assert_names
from tests.runs import python, squares


def pictures(count, side=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype="uint8")


@pytest.fixture(scope="module")
def model():
    return lively(small_classifier(), pictures(16).astype("float32"))


def cells(side=32):
    """Cells that read the two before them, so that two tensors cross between them, as in NASNet."""
    inputs = keras.Input((side, side, 3))
    before = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(inputs)
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(before)
    for number in range(6):
        half = 1 + number % 2
        near = keras.layers.Conv2D(8, 3, half, "same", activation="relu", name=f"cell_{number}_near")(x)
        far = keras.layers.Conv2D(8, 1, half * before.shape[1] // x.shape[1], "same", name=f"cell_{number}_far")(before)
        before, x = x, keras.layers.Add(name=f"cell_{number}_add")([near, far])
    return keras.Model(inputs, x, name="cells")


def predicted(model, at, x):
    prefix, _ = kertl.split(model, at)
    found = prefix.predict_on_batch(np.asarray(x, "float32"))
    return found if isinstance(found, list) else [found]


def distance(found, expected):
    """Largest difference relative to the largest number, over the tensors that cross."""
    found = found if isinstance(found, list) else [found]
    assert [np.shape(one) for one in found] == [one.shape for one in expected]
    pairs = zip(found, expected, strict=True)
    return max(np.abs(np.asarray(one) - other).max() / np.abs(other).max() for one, other in pairs)


BACKBONES = {
    "small": lambda: lively(small_classifier(), pictures(16).astype("float32")),
    "MobileNetV2": lambda: application("MobileNetV2", 64, alpha=0.35),
    "cells": cells,
}


@pytest.mark.parametrize("name", some_of(BACKBONES, "small"))
def test_features_are_what_the_prefix_predicts_at_every_main_boundary_by_both_engines(name, tmp_path):
    model = BACKBONES[name]()
    x = pictures(35, model.input_shape[1])
    groups = kertl.layer_groups(model)
    behind_main = [group.name for before, group in itertools.pairwise(groups) if before.boundary == "main"]
    for at in dict.fromkeys(["deep", *behind_main]):
        expected = predicted(model, at, x)
        for engine, folder in (("keras", None), ("openvino", tmp_path if at == "deep" else None)):
            features = kertl.extract(model, x, at=at, engine=engine, cache_dir=folder)
            assert features.engine == engine
            assert distance(features.values, expected) <= 1e-5, (at, engine, folder)


@pytest.mark.parametrize("folder", [False, True], ids=["memory", "disk"])
def test_where_two_tensors_cross_both_are_given(tmp_path, folder):
    model = cells()
    pairs = [
        name
        for name in (group.name for group in kertl.layer_groups(model))
        if len(predicted(model, name, pictures(1))) == 2
    ]
    assert pairs, "the model must have such a boundary"
    x = pictures(5)
    features = kertl.extract(model, x, at=pairs[-1], cache_dir=tmp_path if folder else None)
    expected = predicted(model, pairs[-1], x)
    assert distance(features.values, expected) <= 1e-5
    taken = features.take([4, 0])
    assert [
        np.array_equal(one, np.asarray(whole)[[4, 0]]) for one, whole in zip(taken, features.values, strict=True)
    ] == [True, True]


def test_a_row_does_not_depend_on_how_many_others_there_are(model):
    x = pictures(70)
    whole = kertl.extract(model, x, at="mid").values
    for count in (1, 31, 33):
        np.testing.assert_array_equal(kertl.extract(model, x[:count], at="mid").values, whole[:count])


def test_features_and_labels_are_in_the_order_of_the_data_wherever_they_come_from(model):
    data = squares(20)
    x = data.train.in_order().reader.take(np.arange(data.train.num_examples))
    y = data.train.labels
    expected = predicted(model, "deep", x)
    assert np.abs(expected[0][:, None] - expected[0][None]).max(-1)[~np.eye(len(x), dtype=bool)].min() > 1e-4

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return math.ceil(len(x) / 7)

        def __getitem__(self, index):
            return x[7 * index : 7 * index + 7], y[7 * index : 7 * index + 7]

    pairs = tf.data.Dataset.from_tensor_slices((x, y)).batch(6)
    shuffled = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100).batch(6)
    for one in (data.train, (x, y), (x.astype("float32"), y), Batches(), pairs):
        features = kertl.extract(model, one)
        assert distance(features.values, expected) <= 1e-5
        np.testing.assert_array_equal(features.labels, y)
    found = kertl.extract(model, shuffled)
    for label, row in zip(found.labels, found.values, strict=True):
        nearest = np.abs(expected[0] - row).max(-1).argmin()
        assert np.abs(expected[0][nearest] - row).max() <= 1e-5 * np.abs(expected[0]).max()
        assert label == y[nearest]


def test_data_without_labels_have_none(model):
    x = pictures(3)
    for one in (x, (x,), tf.data.Dataset.from_tensor_slices(x).batch(2)):
        features = kertl.extract(model, one)
        assert features.labels is None
        assert len(features) == 3


@pytest.mark.parametrize(("dtype", "bound"), [("float16", 1e-3), ("bfloat16", 8e-3)])
@pytest.mark.parametrize("folder", [False, True], ids=["memory", "disk"])
def test_features_are_kept_in_the_type_asked_for(model, tmp_path, dtype, bound, folder):
    x = pictures(40)
    features = kertl.extract(model, x, dtype=dtype, cache_dir=tmp_path if folder else None)
    assert str(features.values.dtype) == dtype
    values = np.asarray(features.values).astype("float32")
    assert 0 < distance(values, predicted(model, "deep", x)) <= bound


def test_features_too_large_for_float16_are_an_error():
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Rescaling(1e4, name="rescaling")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1, kernel_initializer="ones", name="conv")(x))
    with pytest.raises(ValueError, match="`dtype`") as caught:
        kertl.extract(model, np.full((2, 4, 4, 3), 255, "uint8"), dtype="float16")
    assert_names(caught.value, "`dtype`", "65504", "dtype='float16'", "7.65e+06", "dtype='bfloat16'")


def test_bfloat16_is_computed_by_either_engine_within_its_bound_and_leaves_the_model_as_it_was(model):
    x = pictures(40)
    policies = [layer.dtype_policy.name for layer in model._flatten_layers()]
    expected = predicted(model, "mid", x)
    for engine in ("keras", "openvino"):
        features = kertl.extract(model, x, at="mid", engine=engine, precision="mixed_bfloat16")
        found = distance(features.values, expected)
        assert found <= 0.05, engine
        # On a processor without bfloat16 OpenVINO computes in float32 all the same.
        assert found > 1e-5 or engine == "openvino"
    assert [layer.dtype_policy.name for layer in model._flatten_layers()] == policies
    assert distance(kertl.extract(model, x, at="mid").values, expected) <= 1e-5


def test_extraction_leaves_weights_flags_and_random_states_alone(model):
    before = [np.array(variable) for variable in model.variables]
    flags = [layer.trainable for layer in model._flatten_layers()]
    kertl.extract(model, pictures(3), augment="strong", views=1)
    assert all(np.array_equal(one, np.array(other)) for one, other in zip(before, model.variables, strict=True))
    assert [layer.trainable for layer in model._flatten_layers()] == flags


def test_weights_that_have_changed_since_the_last_extraction_are_seen(model):
    x = pictures(3)
    for engine in ("keras", "openvino"):
        before = kertl.extract(model, x, engine=engine).values
        weight = model.get_layer("small").get_layer("block4_conv").kernel
        kept = np.array(weight)
        weight.assign(kept * 1.5)
        expected = predicted(model, "deep", x)
        assert distance(kertl.extract(model, x, engine=engine).values, expected) <= 1e-5
        weight.assign(kept)
        np.testing.assert_array_equal(kertl.extract(model, x, engine=engine).values, before)


# The rule ------------------------------------------------------------------------------------------------------


@pytest.mark.promise
@pytest.mark.slow
def test_ctrl_c_after_the_models_of_two_extractions_are_gone():
    code = """
import gc, os, signal, keras, numpy as np, kertl
from tests.families import small_classifier
signal.signal(signal.SIGINT, signal.default_int_handler)
models = [small_classifier(), small_classifier()]
for model in models:
    kertl.extract(model, np.zeros((2, 32, 32, 3), "uint8"), engine="openvino")
while models:
    del model
    model = models.pop(0)
    gc.collect()
del model
gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("stopped")
"""
    assert "stopped" in python(code)


def test_auto_takes_openvino_where_it_agrees_with_keras_and_says_so(model, caplog, monkeypatch):
    monkeypatch.setattr(_choice, "_TOLD", set())
    with caplog.at_level(logging.INFO, logger="kertl"):
        features = kertl.extract(model, pictures(2))
    assert features.engine == "openvino"
    assert re.search(r"CPU.* \de-0\d,.* 1e-05$", features.reason)
    assert_names(caplog.text, "openvino", features.reason)


def test_auto_takes_keras_where_openvino_disagrees_and_asking_for_it_is_an_error(monkeypatch):
    model = small_classifier()
    run = _openvino.OpenVinoEngine.run
    monkeypatch.setattr(_openvino.OpenVinoEngine, "run", lambda self, batch: [one * 1.001 for one in run(self, batch)])
    features = kertl.extract(model, pictures(2))
    assert features.engine == "keras"
    assert_names(features.reason, "OpenVINO", "1e-03", "1e-05")
    assert distance(features.values, predicted(model, "deep", pictures(2))) <= 1e-5
    with pytest.raises(ValueError, match="`engine`") as caught:
        kertl.extract(model, pictures(2), engine="openvino")
    assert_names(caught.value, "`engine`", "engine='openvino'", "1e-03", "1e-05", "engine='auto'", "'keras'")


def test_auto_takes_keras_where_openvino_is_missing_or_cannot_compute_so(model, monkeypatch):
    reason = kertl.extract(model, pictures(1), precision="mixed_float16").reason
    assert_names(reason, "OpenVINO", "mixed_float16")
    found = _openvino.importlib.util.find_spec
    monkeypatch.setattr(_openvino.importlib.util, "find_spec", lambda name: None if name == "openvino" else found(name))
    features = kertl.extract(model, pictures(1))
    assert features.engine == "keras"
    assert_names(features.reason, "OpenVINO", "pip install 'kertl[openvino]'")


def test_auto_takes_keras_where_the_model_cannot_be_converted(monkeypatch):
    model = small_classifier()

    def fail(*_):
        raise RuntimeError("no such operation: Frobnicate\nand more")

    monkeypatch.setattr(_openvino, "_converted", fail)
    features = kertl.extract(model, pictures(1))
    assert features.engine == "keras"
    assert_names(features.reason, "OpenVINO", "RuntimeError: no such operation: Frobnicate")
    assert "and more" not in features.reason


def test_auto_takes_keras_where_there_is_an_accelerator(model, monkeypatch):
    monkeypatch.setattr(_choice.keras.distribution, "list_devices", lambda: ["gpu:0"])
    assert_names(_openvino.obstacle("float32"), "gpu:0")


# Wrong arguments -----------------------------------------------------------------------------------------------

WRONG = [
    ({"at": "full"}, ("`at`", "at='full'")),
    ({"augment": "lots"}, ("`augment`", "'none'", "'light'", "'strong'", "augment='lots'")),
    ({"views": 2}, ("`views`", "0 or 1", "augment='none'", "views=2", "'light'")),
    ({"views": -1}, ("`views`", ">= 0", "views=-1")),
    ({"seed": 1.5}, ("`seed`", ">= 0", "seed=1.5")),
    ({"engine": "onnx"}, ("`engine`", "'auto'", "'keras'", "'openvino'", "engine='onnx'")),
    ({"dtype": "float64"}, ("`dtype`", "'float16'", "'bfloat16'", "dtype='float64'", "Did you mean")),
    ({"cache_bytes": 47}, ("`cache_bytes`", "192", "cache_bytes=47", "dtype='float16'", "`views`")),
    ({"verbose": "loud"}, ("`verbose`", "'auto'", "verbose='loud'")),
]


@pytest.mark.parametrize(
    ("arguments", "named"), WRONG, ids=lambda value: next(iter(value)) if isinstance(value, dict) else ""
)
def test_a_wrong_argument_is_an_error_that_says_what_to_do(model, arguments, named):
    with pytest.raises(ValueError, match="`") as caught:
        kertl.extract(model, pictures(2), **arguments)
    assert_names(caught.value, *named)


class OneBatch(keras.utils.PyDataset):
    num_batches = 1

    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __getitem__(self, index):
        return self.batch


def masked(values):
    return np.ma.masked_less(values, values.max())


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        return pictures(2)


UNUSABLE = [
    (
        lambda: tf.data.Dataset.from_tensor_slices(pictures(2)).batch(1).repeat(),
        ValueError,
        ("an end", "_RepeatDataset", "`dataset.take(batches)`"),
    ),
    (Endless, ValueError, ("an end", "Endless", "`dataset.take(batches)`")),
    (lambda: "photos", TypeError, ("`kertl.data`", "`keras.utils.PyDataset`", "`tf.data.Dataset`", "data=str")),
    (lambda: squares(8), TypeError, ("`kertl.data`", "data=ImageData", "data.train")),
    (lambda: (pictures(3), [0, 1]), DataError, ("3 images", "2 labels")),
    (lambda: pictures(2, side=16), DataError, ("'classifier'", "(32, 32, 3)", "(16, 16, 3)")),
    (lambda: np.array([["a"]]), DataError, ("numbers", "<U1")),
    (lambda: pictures(0), DataError, ("at least one image", "(0, 32, 32, 3)")),
    (
        lambda: tf.data.Dataset.from_tensor_slices(pictures(2)).batch(1).take(0),
        DataError,
        ("at least one batch", "none"),
    ),
    (
        lambda: tf.data.Dataset.from_tensor_slices({"x": pictures(2)}).batch(1),
        DataError,
        ("images and labels", "['dict']"),
    ),
    (lambda: OneBatch(masked(pictures(2))), ValueError, ("without masked values",)),
    (lambda: OneBatch(pictures(2), masked(np.array([0, 1]))), ValueError, ("without masked values",)),
    (lambda: OneBatch([*pictures(1), *pictures(1, side=16)]), DataError, ("different sizes",)),
    (lambda: OneBatch(pictures(2).astype(object)), DataError, ("numbers", "object", '`.astype("float32")`')),
]


@pytest.mark.parametrize(("data", "error", "named"), UNUSABLE)
def test_data_that_cannot_be_used_are_an_error(model, data, error, named):
    with pytest.raises(error) as caught:
        kertl.extract(model, data())
    assert_names(caught.value, "`data`", *named)


def test_batches_that_differ_from_pass_to_pass_are_an_error(model):
    random = np.random.default_rng(0)
    noisy = tf.data.Dataset.from_generator(
        lambda: (random.integers(0, 256, (2, 32, 32, 3), dtype="uint8") for _ in range(2)),
        output_signature=tf.TensorSpec((2, 32, 32, 3), tf.uint8),
    )
    with pytest.raises(DataError) as caught:
        kertl.extract(model, noisy)
    assert_names(caught.value, "`data`", "4 of 4 images", "`augment=`")


def test_a_wrong_row_or_version_is_an_error(model):
    features = kertl.extract(model, pictures(2))
    with pytest.raises(IndexError) as caught:
        features.take([0, 2])
    assert_names(caught.value, "`rows`", "0 to 1", "0 to 2")
    with pytest.raises(IndexError) as caught:
        features.view(1)
    assert_names(caught.value, "`view`", "below 1", "view=1", "`views`")
    with pytest.raises(ValueError, match="`rows` must be a list"):
        features.take(1)


def test_features_that_find_no_room_are_an_error(model, monkeypatch, tmp_path):
    monkeypatch.setattr(_room, "free_memory", lambda: 383)
    monkeypatch.setattr(_room, "free_disk", lambda folder: 200)
    with pytest.raises(ValueError, match="`cache_dir`") as caught:
        kertl.extract(model, pictures(2))
    assert_names(caught.value, "`cache_dir`", "cache_dir=None", "192 bytes", "191 bytes")
    with pytest.raises(ValueError, match="`cache_dir`") as caught:
        kertl.extract(model, pictures(2), cache_dir=tmp_path)
    assert_names(caught.value, f"cache_dir={str(tmp_path)!r}", "180 bytes", "192 bytes", "dtype='float16'", "`views`")


WITHOUT = """
import importlib.machinery, sys
class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, *arguments):
        hidden = name.partition(".")[0] in ("tensorflow", "openvino")
        return None if hidden else super().find_spec(name, *arguments)
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Without
"""


# Elsewhere -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_on_jax_features_are_extracted_where_there_is_no_tensorflow(tmp_path):
    said = python(
        WITHOUT
        + f"""
import keras, numpy as np, kertl
from tests.families import small_classifier
assert keras.backend.backend() == "jax"
x = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3), dtype="uint8")
model = small_classifier()
prefix, _ = kertl.split(model, "mid")
expected = prefix.predict(x.astype("float32"), verbose=0)
for folder in (None, {str(tmp_path)!r}, {str(tmp_path)!r}):
    features = kertl.extract(model, (x, np.arange(70)), at="mid", cache_dir=folder)
    assert features.engine == "keras", features.reason
    assert np.abs(np.asarray(features.values) - expected).max() <= 1e-5 * np.abs(expected).max()
first, again = (kertl.extract(model, x, at="mid", augment="strong", views=2) for _ in range(2))
assert np.array_equal(first.view(1), again.view(1))
assert not np.array_equal(first.view(0), first.view(1))
assert "tensorflow" not in sys.modules
print(features.labels[-1], features.reason)
""",
        KERAS_BACKEND="jax",
    )
    assert said.startswith("69 ")
    assert_names(said, "OpenVINO", "pip install 'kertl[openvino]'")


def test_importing_the_features_imports_neither_openvino_nor_tensorflow():
    said = python(
        """
        import sys, kertl.features
        print([name for name in ("openvino", "tensorflow") if name in sys.modules])
        """,
        KERAS_BACKEND="jax",
    )
    assert said == "[]\n"


def test_the_engine_is_told_once_for_each_boundary_and_precision(caplog, monkeypatch):
    monkeypatch.setattr(_choice, "_TOLD", set())
    caplog.set_level("INFO", "kertl")
    model, images = small_classifier(), pictures(4)
    told = []
    for boundary in ("deep", "mid", "deep", "mid"):
        kertl.extract(model, images, at=boundary)
        told.append(sum("Features are extracted by" in message for message in caplog.messages))
    assert told == [1, 2, 2, 2]
