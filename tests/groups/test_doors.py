"""Every public door refuses, in one sentence, the models that kertl cannot work with."""

import keras
import numpy as np
import pytest

import kertl
from tests.messages import assert_names


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.last = keras.layers.Dense(2, activation="softmax")

    def call(self, x):
        return self.last(keras.ops.mean(x, axis=(1, 2)))


def called():
    """A subclassed model that has been built by a call."""
    model = Subclassed()
    model(np.zeros((1, 32, 32, 3), "float32"))
    return model


def unbuilt():
    return keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D(), classes()], name="later")


def classes():
    return keras.layers.Dense(2, activation="softmax")


def pooled(x):
    return keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(keras.layers.Rescaling(1 / 255)(x)))


def two_inputs():
    inputs = [keras.Input((32, 32, 3)), keras.Input((32, 32, 3))]
    return keras.Model(inputs, classes()(keras.layers.Add()([pooled(one) for one in inputs])), name="double")


def two_outputs():
    inputs = keras.Input((32, 32, 3))
    features = pooled(inputs)
    return keras.Model(inputs, [classes()(features), classes()(features)], name="double")


def channels_first(form="channels_first", *, kernel=True):
    first = form == "channels_first"
    inputs = keras.Input((3, 32, 32) if first else (32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", data_format=form)(inputs) if kernel else inputs
    x = keras.layers.BatchNormalization(axis=1 if first else -1)(x)
    x = keras.layers.GlobalAveragePooling2D(data_format=form)(keras.layers.ReLU()(x))
    return keras.Model(inputs, classes()(x), name="theirs")


def permuted(**options):
    """Pictures in the usual form, which the layers inside turn round."""
    inputs = keras.Input((32, 32, 3))
    return keras.Model(inputs, channels_first(**options)(keras.layers.Permute((3, 1, 2))(inputs)), name="turned")


def vectors():
    return keras.Sequential([keras.Input((10,)), keras.layers.Dense(5), classes()], name="theirs")


WRONG = {
    "subclassed": (called, TypeError, ["functional or sequential", "keras.Model(inputs, outputs)"]),
    "unbuilt": (unbuilt, TypeError, ["has been built", "keras.Input((height, width, channels))"]),
    "two inputs": (two_inputs, ValueError, ["one input and one output", "'double' with 2 inputs and 1 outputs"]),
    "two outputs": (two_outputs, ValueError, ["one input and one output", "'double' with 1 inputs and 2 outputs"]),
    "channels first": (
        channels_first,
        ValueError,
        ["(height, width, channels)", "'theirs'", "(3, 32, 32)", "keras.layers.Permute((3, 1, 2))", "'channels_last'"],
    ),
}
PICTURES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), "uint8")


def data():
    return kertl.data.from_arrays(PICTURES, [0, 1] * 4, validation=0.25, test=0, batch_size=4)


LOOKING_INSIDE = {
    "load_backbone": kertl.load_backbone,
    "build": lambda model: kertl.build(model, num_classes=2),
    "layer_groups": kertl.layer_groups,
    "split": lambda model: kertl.split(model, "deep"),
    "freeze": lambda model: kertl.freeze(model, "deep"),
    "stage_model": lambda model: kertl.stage_model(model, "deep"),
    "at_size": lambda model: kertl.model.at_size(model, (64, 64)),
    "extract": lambda model: kertl.extract(model, PICTURES, at="deep"),
    "fine_tune": lambda model: kertl.fine_tune(model, data(), recipe="deep"),
    "check": lambda model: kertl.check(model, data(), "deep"),
    "cross_validate": lambda model: kertl.cross_validate(model, data(), folds=2),
    "baselines": lambda model: kertl.baselines(model, data()),
    "discriminative": lambda model: kertl.optimizers.discriminative("sgd", model, peak=0.1),
    "learning_curve": lambda model: kertl.learning_curve(model, data(), sizes=[2, 4, 6]),
    "verify_cached": lambda model: kertl.verify_cached(model, data()),
}
ASKING = {
    "evaluate": lambda model: kertl.evaluate(model, data(), part="train"),
    "predict": lambda model: kertl.predict(model, PICTURES),
    "answers": lambda model: kertl.answers(model, np.array([[0.5, 0.5]])),
    "extend_classes": lambda model: kertl.extend_classes(model, ["c"], class_names=["a", "b"]),
    "tune_thresholds": lambda model: kertl.tune_thresholds(model, data()),
    "check_augmentation": lambda model: kertl.data.check_augmentation(model, data(), ["flip"]),
    "lr_range_test": lambda model: kertl.lr_range_test(model, data()),
    "interpret": lambda model: kertl.interpret(model, data(), part="validation"),
    "calibrate": lambda model: kertl.calibrate(model, data()),
    "adapt": lambda model: kertl.adapt(model, data(), method="prior"),
    "shift": lambda model: kertl.shift(model, data(), data()),
    "export": lambda model: kertl.export(model, "never-written.tflite", format="litert"),
}
WANT_PICTURES = ["build", "load_backbone", "fine_tune", "check", "predict", "evaluate", "lr_range_test", "interpret"]


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.parametrize("door", [*LOOKING_INSIDE, *ASKING])
def test_every_door_says_in_one_sentence_what_it_cannot_take(door, kind):
    make, error, words = WRONG[kind]
    with pytest.raises(error) as caught:
        {**LOOKING_INSIDE, **ASKING}[door](make())
    assert_names(caught.value, *words)


@pytest.mark.parametrize("door", WANT_PICTURES)
def test_a_model_of_vectors_is_refused_where_pictures_are_wanted(door):
    with pytest.raises(ValueError, match="must take pictures") as caught:
        {**LOOKING_INSIDE, **ASKING}[door](vectors())
    assert_names(caught.value, "(height, width, channels)", "theirs", "(10,)")


def test_a_model_without_weights_before_its_classifier_has_baselines():
    flat = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten(), classes()])
    assert kertl.baselines(flat, data()).rows


@pytest.mark.parametrize("door", [door for door in LOOKING_INSIDE if door not in ("check", "discriminative")])
def test_layers_with_channels_first_are_refused_where_a_model_is_cut(door):
    with pytest.raises(ValueError, match="must") as caught:
        LOOKING_INSIDE[door](permuted())
    assert_names(caught.value, "layer", "data_format='channels_first'", "axis=-1", "model.get_weights()")


def test_the_ways_out_for_channels_first_give_the_same_predictions():
    # without a kernel, which TensorFlow cannot compute with channels first on a CPU
    theirs, turned = channels_first(kernel=False), permuted(kernel=False)
    rebuilt = channels_first("channels_last", kernel=False)
    for model in (turned, rebuilt):
        model.set_weights(theirs.get_weights())
    expected = theirs.predict(np.moveaxis(PICTURES, -1, 1), verbose=0)
    for model in (turned, rebuilt):
        np.testing.assert_allclose(kertl.predict(model, PICTURES), expected, rtol=1e-5)
    assert kertl.split(channels_first("channels_last"), "deep")[0].output_shape == (None, 4)


def test_a_feature_map_of_a_long_picture_is_no_picture_with_channels_first():
    inputs = keras.Input((4, 20, 320))
    model = keras.Sequential([inputs, keras.layers.GlobalAveragePooling2D(), classes()])
    assert kertl.groups.functional_of(model).input_shape == (None, 4, 20, 320)


@pytest.mark.parametrize("make", [called, unbuilt])
def test_what_has_no_graph_is_not_saved_and_what_has_two_outputs_is(make, tmp_path):
    with pytest.raises(TypeError, match="has been built"):
        kertl.save(make(), tmp_path / "m.keras")
    kertl.save(two_outputs(), tmp_path / "m.keras")
    assert len(kertl.load(tmp_path / "m.keras").outputs) == 2
