"""What is told about a model from elsewhere must go with it."""

import keras
import numpy as np
import pytest
from keras import layers

import kertl
from kertl.model import describe
from tests.messages import assert_names

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype="uint8")


def theirs(end, before=lambda x: layers.Rescaling(1 / 255)(x)):
    inputs = keras.Input((16, 16, 3))
    features = layers.Conv2D(4, 3, activation="relu")(before(inputs))
    return keras.Model(inputs, end(features), name="theirs")


def pooled(*rest):
    def end(x):
        for layer in (layers.GlobalAveragePooling2D(), *rest):
            x = layer(x)
        return x

    return end


def of_class_maps(x):
    return layers.GlobalAveragePooling2D()(layers.Conv2D(3, 1)(x))


def averaged(x):
    x = layers.GlobalAveragePooling2D()(x)
    return layers.Average()([layers.Dense(3, activation="softmax")(x) for _ in range(2)])


@pytest.mark.parametrize("end", [pooled(layers.Dense(3)), of_class_maps, averaged], ids=["dense", "maps", "averaged"])
def test_scores_become_probabilities_and_probabilities_stay(end):
    model = theirs(end)
    known = describe(model, task="single_label", class_names=["a", "b", "c"])
    found = kertl.predict(known, PIXELS)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    given = keras.ops.convert_to_numpy(model(PIXELS))
    expected = given if end is averaged else keras.ops.convert_to_numpy(keras.ops.softmax(given))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_what_is_told_besides_does_not_change_the_pixels():
    model = theirs(pooled(layers.Dense(2, activation="softmax")), lambda x: layers.Rescaling(2.0, offset=-1.0)(x))
    expected = keras.ops.convert_to_numpy(model(PIXELS / 255))
    for known in (model, describe(model, class_names=["a", "b"]), describe(model, resize="pad")):
        np.testing.assert_allclose(kertl.predict(known, PIXELS), expected, rtol=1e-4, atol=1e-6)


LOGITS = pooled(layers.Dense(2))
WRONG = {
    "divided": (lambda x: pooled(layers.Dense(3))(x) / 2.0, {"task": "single_label"}, ("`task`", "'theirs'")),
    "two for yes or no": (LOGITS, {"task": "binary"}, ("`task`", "1 outputs", "(2,)")),
    "one for several": (pooled(layers.Dense(1)), {"task": "single_label"}, ("`task`", "2 or more", "(1,)")),
    "a map": (lambda x: layers.Conv2D(3, 1)(x), {"task": "single_label"}, ("`task`", "vector")),
    "no texts": (LOGITS, {"task": "single_label", "class_names": [1, None]}, ("`class_names`", "a list of names")),
    "no list": (LOGITS, {"task": "single_label", "class_names": 5}, ("`class_names`", "class_names=5")),
    "smaller": (
        LOGITS,
        {"task": "single_label", "preprocessing": layers.Resizing(8, 8)},
        ("`preprocessing`", "(8, 8, 3)"),
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_go_with_the_model_is_refused(name):
    end, told, parts = WRONG[name]
    with pytest.raises(ValueError, match="Received") as caught:
        describe(theirs(end), **told)
    assert_names(caught.value, *parts)


def test_colour_preprocessing_of_gray_pictures_is_refused():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(2, activation="softmax")])
    with pytest.raises(ValueError, match="1 channels"):
        kertl.predict(model, np.zeros((1, 8, 8, 1), "uint8"), preprocessing="caffe")


@pytest.fixture(scope="module")
def of_fractions():
    return theirs(pooled(layers.Dense(2, activation="softmax")), lambda x: layers.Rescaling(2.0, offset=-1.0)(x))


@pytest.mark.parametrize(
    ("form", "options"),
    [
        (lambda x: x, {}),
        (lambda x: x.astype("int64"), {}),
        (lambda x: (x / 255).astype("float32"), {}),
        (lambda x: x / 255, {"value_range": (0, 1)}),
        (lambda x: x / 255, {"value_range": (0, 1), "preprocessing": "unit"}),
        (lambda x: [*x[:1].astype("float32"), *x[1:]], {}),
    ],
    ids=["bytes", "whole numbers", "fractions", "a range", "both", "a mixed list"],
)
def test_the_same_pictures_have_the_same_predictions_however_they_are_given(of_fractions, form, options):
    expected = keras.ops.convert_to_numpy(of_fractions(PIXELS / 255))
    np.testing.assert_allclose(kertl.predict(of_fractions, form(PIXELS), **options), expected, rtol=1e-4, atol=1e-3)


def test_a_task_that_does_not_go_with_the_outputs_is_named_before_anything_is_said_of_pixels(caplog):
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Dense(7)(keras.layers.Flatten()(inputs)))
    with pytest.raises(ValueError, match="Received") as caught:
        describe(model, task="binary")
    assert_names(caught.value, "`task`", "1 outputs", "task='binary'", "(7,)")
    assert not caplog.records


@pytest.mark.parametrize(
    ("x", "options", "named"),
    [
        (PIXELS / 255, {"preprocessing": "unit"}, "value_range"),
        (PIXELS / 255, {"views": 2}, "views"),
        (np.full((1, 16, 16, 3), np.nan), {}, "NaN"),
        (PIXELS > 9, {}, "bool"),
    ],
    ids=["scaled twice", "varied", "no numbers", "yes and no"],
)
def test_pixels_that_would_be_read_otherwise_are_refused(of_fractions, x, options, named):
    with pytest.raises(ValueError, match=named):
        kertl.predict(of_fractions, x, **options)
