"""Where the classifier of somebody's own model is cut off."""

import keras
import numpy as np
import pytest
from keras import layers

import kertl
from kertl.groups import features_of
from tests.messages import assert_names


def maps(images, widths=(4, 8)):
    for width in widths:
        images = layers.Conv2D(width, 3, strides=2, padding="same")(images)
        images = layers.BatchNormalization()(images)
        images = layers.ReLU()(images)
    return images


def scores(maps, units=5, **arguments):
    return layers.GlobalAveragePooling2D()(layers.Conv2D(units, 1, **arguments)(maps))


def squeezed(images):
    return layers.Softmax()(scores(layers.Dropout(0.5)(maps(images)), activation="relu"))


def scored(images):
    return scores(maps(images))


def normalised(images):
    return layers.Softmax()(layers.GlobalAveragePooling2D()(maps(images, (4, 8, 5))))


def whole_map(images):
    vector = layers.ReLU()(layers.Conv2D(16, 4)(maps(images)))
    return layers.Softmax()(layers.Flatten()(layers.Conv2D(5, 1)(vector)))


def branched(images):
    pooled = [layers.GlobalAveragePooling2D()(maps(images)) for _ in range(3)]
    return layers.Dense(5, activation="softmax")(layers.Concatenate()(pooled))


def masked(images, activation="sigmoid"):
    before = layers.Conv2D(4, 3, padding="same", activation="relu")(images)
    deep = layers.UpSampling2D()(layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(before))
    after = layers.Conv2D(6, 3, padding="same", activation="relu")(layers.Concatenate()([before, deep]))
    return layers.Conv2D(1, 1, activation=activation)(after)


def masked_by_scores(images):
    return masked(images, None)


def averaged(images):
    vector = layers.GlobalAveragePooling2D()(maps(images))
    return layers.Average()([layers.Dense(5, activation="softmax")(vector) for _ in range(2)])


def of_one_class_each(images):
    vector = layers.GlobalAveragePooling2D()(maps(images))
    return layers.Concatenate()([layers.Dense(1, activation="sigmoid")(vector) for _ in range(5)])


def segmented(images):
    return layers.UpSampling2D(4)(layers.Conv2D(5, 1)(maps(images)))


def measured(images):
    return layers.ReLU()(layers.Resizing(16, 16)(layers.Conv2D(1, 1)(maps(images))))


MODELS = [
    (squeezed, (4, 4, 8)),
    (scored, (4, 4, 8)),
    (normalised, (4, 4, 8)),
    (whole_map, (1, 1, 16)),
    (branched, (24,)),
    (masked, (16, 16, 6)),
    (masked_by_scores, (16, 16, 6)),
    (segmented, (4, 4, 8)),
    (measured, (4, 4, 8)),
    (averaged, (4, 4, 8)),
    (of_one_class_each, (4, 4, 8)),
]


def model_of(function):
    images = keras.Input((16, 16, 3))
    return keras.Model(images, function(images), name=function.__name__)


@pytest.mark.parametrize(("function", "shape"), MODELS, ids=[function.__name__ for function, _ in MODELS])
def test_no_layer_whose_units_are_the_outputs_is_in_the_backbone(function, shape):
    model = model_of(function)
    features = features_of(model)
    assert features.output_shape[1:] == shape
    # The layers are the model's own: changing the features changes the predictions.
    images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype("float32")
    before = model.predict(images, verbose=0)
    for weight in features.weights:
        weight.assign(weight + 0.5)
    assert not np.allclose(model.predict(images, verbose=0), before)


@pytest.mark.parametrize("function", [squeezed, scored, whole_map, masked], ids=lambda function: function.__name__)
def test_a_convolution_that_classifies_is_in_the_head(function):
    groups = kertl.layer_groups(model_of(function))
    assert groups[-1].name == "head"
    assert sum(isinstance(layer, layers.Conv2D) for layer in groups[-1].layers) == 1


def gated(images):
    found = maps(images)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(found))
    return layers.Multiply()([found, gate])


def rectified(images):
    return layers.GlobalMaxPooling2D()(layers.Conv2D(8, 3, activation="relu")(maps(images)))


def linear(images):
    return layers.Conv2D(8, 3)(maps(images))


@pytest.mark.parametrize(
    ("function", "shape"),
    [(gated, (4, 4, 8)), (rectified, (2, 2, 8)), (linear, (2, 2, 8))],
    ids=["gated", "rectified", "linear"],
)
def test_features_are_no_classifier(function, shape):
    assert features_of(model_of(function)).output_shape[1:] == shape


def flat(images):
    hidden = layers.Dense(8, activation="relu")(layers.Flatten()(layers.Rescaling(1 / 255)(images)))
    return layers.Dense(5, activation="softmax")(hidden)


def parted(images):
    return layers.Softmax()(layers.Average()([scores(maps(images)), scores(maps(images))]))


@pytest.mark.parametrize(("function", "named"), [(flat, "rescaling"), (parted, "conv2d")], ids=["flat", "parted"])
def test_a_model_that_cannot_be_cut_says_so(function, named):
    keras.utils.clear_session()  # names of layers begin anew
    with pytest.raises(ValueError, match="classifier") as error:
        features_of(model_of(function))
    assert_names(error.value, repr(function.__name__))
    assert named in str(error.value)
