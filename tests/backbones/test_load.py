import socket
import sys
import urllib.error

import keras
import numpy as np
import pytest

import kertl
from kertl.backbones import APPLICATIONS
from kertl.errors import WeightsError
from tests.families import EACH_FAMILY, FAMILIES, application, lively, small_classifier
from tests.messages import assert_names

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BGR_MEAN = np.array([103.939, 116.779, 123.68])

# What each kind makes of pixels 0..255, by the formulas in keras.applications.imagenet_utils' documentation.
FORMULAS = {
    "none": lambda x: x,
    "unit": lambda x: x / 255,
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - MEAN) / DEVIATION,
    "caffe": lambda x: x[..., ::-1] - BGR_MEAN,
}


def images(side, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


def out(model, x):
    return keras.ops.convert_to_numpy(model(x))


def own_preprocessing(name):
    """`preprocess_input` of the module that defines the constructor of an Application."""
    return sys.modules[getattr(keras.applications, name).__module__].preprocess_input


def nested(model):
    (inner,) = (layer for layer in model.layers if isinstance(layer, keras.Model))
    return inner


def narrow(**options):
    """The smallest MobileNetV2."""
    options = {"include_top": False, "input_shape": (64, 64, 3), **options}
    return keras.applications.MobileNetV2(weights=None, alpha=0.35, **options)


def shaken(model):
    """The model with weights that are not those of any new one."""
    random = np.random.default_rng(7)
    model.set_weights(
        [weight + random.uniform(0, 0.01, weight.shape).astype(weight.dtype) for weight in model.get_weights()]
    )
    return model


def trained(trainable=True, before=None):
    """A classifier of 19 classes on the nested MobileNetV2, as somebody may have trained and saved it."""
    backbone = lively(narrow(), images(64, 8) / 127.5 - 1)
    inputs = keras.Input((64, 64, 3))
    x = backbone(inputs if before is None else before(inputs))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(19, activation="softmax")(x), name="breeds")
    backbone.trainable = trainable
    model.compile("adam", "categorical_crossentropy")
    return model, backbone


def foreign(before=(), side=32):
    """A trained model that is none of the Applications."""
    layers = [
        *before,
        keras.layers.Conv2D(4, 3, strides=2, padding="same", name="first"),
        keras.layers.ReLU(name="relu"),
        keras.layers.Conv2D(8, 3, strides=2, padding="same", name="second"),
        keras.layers.GlobalAveragePooling2D(name="pooling"),
        keras.layers.Dense(3, name="logits"),
    ]
    return keras.Sequential([keras.Input((side, side, 3)), *layers], name="foreign")


@pytest.mark.parametrize("name", EACH_FAMILY)
def test_a_backbone_of_each_family_does_its_own_modules_preprocessing_inside(name):
    side = FAMILIES[name]
    backbone = kertl.load_backbone(name, weights=None, input_shape=(side, side, 3))
    x = images(side, 4)
    lively(nested(backbone), own_preprocessing(name)(x.copy()))
    expected = out(nested(backbone), own_preprocessing(name)(x.copy()))
    assert np.abs(out(backbone, x) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert backbone.output_shape == nested(backbone).output_shape
    assert backbone.backbone_name == name
    assert all(layer.trainable for layer in backbone._flatten_layers())


def test_the_default_size_is_the_one_that_the_backbone_was_made_for():
    assert kertl.load_backbone("MobileNetV3Small", weights=None).input_shape == (None, 224, 224, 3)


@pytest.mark.promise
@pytest.mark.slow
def test_weights_none_are_random_and_follow_the_seed():
    found = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        found.append(kertl.load_backbone("MobileNetV3Small", weights=None, input_shape=(32, 32, 3)).get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


# Trained models from files -------------------------------------------------------------------------------------------


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_classifier_of_a_trained_file_is_cut_off_and_all_of_the_backbone_trains(tmp_path, suffix):
    model, backbone = trained(trainable=False)
    path = tmp_path / f"breeds{suffix}"
    model.save(path)
    loaded = kertl.load_backbone(path)
    assert loaded.output_shape == (None, 2, 2, 1280)
    x = images(64)
    expected = out(backbone, x / 127.5 - 1)
    assert np.abs(out(loaded, x) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert all(layer.trainable for layer in loaded._flatten_layers())
    assert len(loaded.trainable_weights) == len(narrow().trainable_weights)
    assert loaded.backbone_name == "MobileNetV2"
    assert not loaded.compiled


def test_a_model_in_memory_shares_its_layers_with_the_backbone():
    model, backbone = trained()
    loaded = kertl.load_backbone(model)
    assert {id(variable) for variable in loaded.weights} == {id(variable) for variable in backbone.weights}


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize(
    "before", [keras.layers.Rescaling(1 / 127.5, offset=-1.0), lambda x: x / 127.5 - 1], ids=["layer", "arithmetic"]
)
def test_an_application_that_brings_its_rescaling_is_not_rescaled_twice(tmp_path, before):
    model, backbone = trained(before=before)
    model.save(tmp_path / "model.keras")
    x = images(64)
    expected = out(backbone, x / 127.5 - 1)
    for source in (model, tmp_path / "model.keras"):
        loaded = kertl.load_backbone(source)
        assert np.abs(out(loaded, x) - expected).max() <= 1e-3 * np.abs(expected).max()


def test_a_foreign_model_with_rescaling_at_its_start_is_taken_as_it_is():
    model = foreign([keras.layers.Rescaling(1 / 255, name="scale")])
    x = images(32)
    features = keras.Model(model.inputs[0], model.get_layer("second").output)
    np.testing.assert_allclose(out(kertl.load_backbone(model), x), out(features, x), rtol=1e-6, atol=1e-6)
    told, expected = kertl.load_backbone(model, preprocessing="unit"), out(features, x / 255)
    assert np.abs(out(told, x) - expected).max() <= 1e-5 * np.abs(expected).max()


def normalised(mean, deviation):
    return keras.layers.Normalization(mean=[mean] * 3, variance=[deviation**2] * 3)


# What a model begins with -> the preprocessing that its graph leaves to others, and that this is logged as a warning.
RANGES = {
    "0..255 by Rescaling": (keras.layers.Rescaling(1 / 127.5, offset=-1.0), "none"),
    "0..255 by Normalization": (normalised(120.0, 60.0), "none"),
    "0..255 by a mean": (keras.layers.Lambda(lambda x: x - 117.0), "none"),
    "0..1 by Rescaling": (keras.layers.Rescaling(2.0, offset=-1.0), "unit"),
    "0..1 by Normalization": (normalised(0.45, 0.22), "unit"),
    "0..1 in another order": (keras.layers.Lambda(lambda x: (x[..., ::-1] - 0.45) / 0.22), "unit"),
    "-1..1 by Normalization": (normalised(-0.1, 0.5), "tf"),
    "0..1 in pixels": (keras.layers.Rescaling(255.0, offset=-117.0), "unit"),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_arithmetic_at_the_start_tells_what_pixels_a_model_takes_and_that_is_said(name, caplog):
    before, kind = RANGES[name]
    model = foreign([before])
    features = keras.Model(model.inputs[0], model.get_layer("second").output)
    x = images(32)
    with caplog.at_level("INFO"):
        found = out(kertl.load_backbone(model), x)
    expected = out(features, FORMULAS[kind](x).astype("float32"))
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    (said,) = [record for record in caplog.records if "preprocessing=" in record.message]
    assert said.levelname == ("INFO" if kind == "none" else "WARNING")
    assert_names(said.message, "'foreign'")


@pytest.mark.parametrize("name", ["a curve", "steps"])
def test_an_application_behind_arithmetic_that_tells_nothing_needs_to_be_told(name):
    model, _ = trained(before=UNTOLD[name][0])
    with pytest.raises(ValueError, match="`preprocessing` must be given"):
        kertl.load_backbone(model)


def test_augmentation_at_the_start_does_not_change_what_is_told():
    model = foreign(
        [keras.layers.RandomBrightness(0.9), keras.layers.RandomInvert(1.0), keras.layers.Rescaling(1 / 255)]
    )
    x = images(32)
    features = keras.Model(model.inputs[0], model.get_layer("second").output)
    expected = keras.ops.convert_to_numpy(features(x, training=False))
    found = keras.ops.convert_to_numpy(kertl.load_backbone(model)(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_batch_norm_at_the_start_tells_the_range_too():
    first = keras.layers.BatchNormalization(name="first_norm")
    model = foreign([first])
    first.moving_mean.assign([0.5] * 3)
    first.moving_variance.assign([0.06] * 3)
    x = images(32)
    features = keras.Model(model.inputs[0], model.get_layer("second").output)
    np.testing.assert_allclose(out(kertl.load_backbone(model), x), out(features, x / 255), rtol=1e-5, atol=1e-5)


def test_an_application_that_is_assumed_is_said(caplog):
    kertl.load_backbone(trained()[0])
    assert_names(
        caplog.records[0].message, "'breeds'", "MobileNetV2", "-1..1", "`kertl.load_backbone(..., preprocessing=)`"
    )


# What does not tell the range of pixels, or is no arithmetic at all.
UNTOLD = {
    "nothing": (),
    "another order of channels": (keras.layers.Lambda(lambda x: x[..., ::-1]),),
    "a BatchNorm that has seen nothing": (keras.layers.BatchNormalization(),),
    "gray": (keras.layers.Lambda(lambda x: keras.ops.sum(x * [0.2989, 0.587, 0.114], axis=-1, keepdims=True)),),
    "no centre": (normalised(0.0, 0.5),),
    "a centre that is no pixel": (normalised(1200.0, 500.0),),
    "centred pixels": (normalised(0.0, 60.0),),
    "a curve": (keras.layers.Lambda(lambda x: (x / 255) ** 2.2 * 2 - 1),),
    "standardised by picture": (keras.layers.LayerNormalization(axis=(1, 2, 3)),),
    "steps": (keras.layers.Lambda(lambda x: keras.ops.floor(x / 300)),),
}


@pytest.mark.parametrize("before", UNTOLD.values(), ids=UNTOLD)
def test_a_foreign_model_without_preprocessing_needs_to_be_told(before):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(foreign(before))
    assert_names(caught.value, "`preprocessing`", "'foreign'", "preprocessing=None")
    assert_names(caught.value, "'none'", "'unit'", "'tf'", "'torch'", "'caffe'")
    # `kertl.build` does not take it.
    assert_names(caught.value, "kertl.load_backbone(..., preprocessing=)", "--preprocessing")


@pytest.mark.parametrize("kind", FORMULAS)
def test_each_kind_of_preprocessing_is_its_formula(kind):
    model = foreign()
    features = keras.Model(model.inputs[0], model.get_layer("second").output)
    x = images(32)
    expected = out(features, FORMULAS[kind](x.astype("float64")).astype("float32"))
    found = out(kertl.load_backbone(model, preprocessing=kind), x)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_layer_may_be_given_as_preprocessing():
    model = foreign()
    features = keras.Model(model.inputs[0], model.get_layer("second").output)
    x = images(32)
    found = out(kertl.load_backbone(model, preprocessing=keras.layers.Rescaling(0.5, name="half")), x)
    np.testing.assert_allclose(found, out(features, x / 2), rtol=1e-5, atol=1e-5)


def test_an_unknown_preprocessing_is_an_error_with_the_nearest():
    with pytest.raises(ValueError, match=r"`preprocessing` must be .*preprocessing='cafe'.*'caffe'"):
        kertl.load_backbone(foreign(), preprocessing="cafe")


def test_a_trained_model_takes_another_size_where_its_sides_are_multiples_of_32():
    model, backbone = trained()
    larger = kertl.load_backbone(model, input_shape=(96, 128, 3))
    assert larger.input_shape == (None, 96, 128, 3)
    assert larger.output_shape == (None, 3, 4, 1280)
    reference = narrow(input_shape=(96, 128, 3))
    reference.set_weights(backbone.get_weights())
    x = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3)).astype("float32")
    expected = out(reference, x / 127.5 - 1)
    assert np.abs(out(larger, x) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_another_size_of_a_trained_model_that_is_no_multiple_of_32_is_refused():
    model, _ = trained()
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(model, input_shape=(100, 96, 3))
    assert_names(caught.value, "`input_shape`", "(64, 64, 3)", "32", "'breeds'", "input_shape=(100, 96, 3)")


def test_a_trained_model_brings_its_own_weights():
    with pytest.raises(ValueError, match=r"`weights` must be left out .*weights=None"):
        kertl.load_backbone(foreign(), weights=None, preprocessing="none")


def test_a_model_that_takes_no_pictures_is_refused():
    inputs = keras.Input((16, 4))
    signals = keras.Model(inputs, keras.layers.Conv1D(2, 3)(inputs), name="signals")
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(signals)
    assert_names(caught.value, "`source`", "(height, width, channels)", "'signals'", "(16, 4)")


# Weights from files --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source():
    """A MobileNetV3Small with weights of its own, at 32 pixels."""
    return shaken(application("MobileNetV3Small", 32))


@pytest.fixture(scope="module")
def weight_files(source, tmp_path_factory):
    """The weights of `source` in every form that a file may have, by form."""
    folder = tmp_path_factory.mktemp("weights")
    files = {form: folder / name for form, name in FORMS.items()}
    source.save_weights(files["bare"])
    legacy(source, files["legacy"])
    x = keras.layers.GlobalAveragePooling2D()(source.output)
    keras.Model(source.input, keras.layers.Dense(4)(x), name="whole").save(files["whole"])
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(source(inputs))
    keras.Model(inputs, keras.layers.Dense(4)(x), name="nested").save(files["nested"])
    return files


FORMS = {"bare": "small.weights.h5", "legacy": "small_no_top.h5", "whole": "whole.keras", "nested": "nested.keras"}


def legacy(model, path):
    """Write bare weights as keras.applications publishes them."""
    import h5py
    from keras.src.legacy.saving import legacy_h5_format

    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_weights_come_from_a_file_bare_or_inside_a_whole_model(form, source, weight_files):
    loaded = kertl.load_backbone("MobileNetV3Small", weights=weight_files[form], input_shape=(32, 32, 3))
    for found, expected in zip(nested(loaded).get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_whole_model_of_another_architecture_is_refused_with_the_first_difference(weight_files):
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("MobileNetV2", weights=weight_files["whole"], input_shape=(32, 32, 3))
    assert_names(caught.value, weight_files["whole"], "'mobilenetv2_1.00_32'")
    assert_names(caught.value, "'Conv1'", "Conv2D: 3x3x3x32", "Rescaling")


def test_a_whole_model_that_ends_early_is_refused_with_the_number_of_layers(tmp_path):
    vgg = application("VGG16", 32)
    keras.Model(vgg.input, vgg.get_layer("block1_conv2").output, name="cut").save(tmp_path / "cut.keras")
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("VGG16", weights=tmp_path / "cut.keras", input_shape=(32, 32, 3))
    assert_names(caught.value, tmp_path / "cut.keras", "'vgg16'", "2 layers", "13")


@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras says so before it refuses the file
@pytest.mark.parametrize("form", ["bare", "legacy"])
def test_bare_weights_of_another_architecture_are_refused(form, weight_files):
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("MobileNetV2", weights=weight_files[form], input_shape=(32, 32, 3))
    assert_names(caught.value, weight_files[form], "'mobilenetv2_1.00_32'", "'notop'", "'no_top'")


@pytest.mark.parametrize("name", ["none.weights.h5", "none.h5", "none.keras"])
def test_a_weights_file_that_is_not_there_is_an_error(tmp_path, name):
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("MobileNetV3Small", weights=tmp_path / name, input_shape=(32, 32, 3))
    assert_names(caught.value, "no weights file", tmp_path / name)


def test_a_misspelt_kind_of_weights_is_answered_with_the_nearest():
    with pytest.raises(WeightsError, match=r"'imagnet'\. Did you mean 'imagenet'\?"):
        kertl.load_backbone("MobileNetV3Small", weights="imagnet", input_shape=(32, 32, 3))


@pytest.mark.parametrize("name", ["none.h5", "none.keras"])
def test_a_model_file_that_is_not_there_is_an_error(tmp_path, name):
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone(tmp_path / name)
    assert_names(caught.value, "no model file", tmp_path / name)


@pytest.mark.parametrize("name", ["garbage.weights.h5", "garbage.h5", "garbage.keras"])
def test_garbage_is_refused_as_weights_and_as_a_model(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(WeightsError, match=name):
        kertl.load_backbone("MobileNetV3Small", weights=path, input_shape=(32, 32, 3))
    with pytest.raises(WeightsError, match=name):
        kertl.load_backbone(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_file_is_refused(form, share, weight_files, tmp_path):
    content = weight_files[form].read_bytes()
    path = tmp_path / FORMS[form]
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=FORMS[form]):
        kertl.load_backbone("MobileNetV3Small", weights=path, input_shape=(32, 32, 3))


def test_bare_weights_are_no_model(weight_files):
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone(weight_files["bare"])
    assert_names(caught.value, weight_files["bare"], "`weights=`")


def test_a_file_with_code_in_a_lambda_layer_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "was_run"
    layer = keras.layers.Lambda(lambda x, path=str(marker): (open(path, "w").close(), x)[1], name="evil")  # noqa: PTH123
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3)(layer(inputs))
    keras.Model(inputs, x).save(tmp_path / "evil.keras")
    marker.unlink(missing_ok=True)
    for call in (
        lambda: kertl.load_backbone(tmp_path / "evil.keras"),
        lambda: kertl.load_backbone("MobileNetV3Small", weights=tmp_path / "evil.keras", input_shape=(32, 32, 3)),
        lambda: kertl.load(tmp_path / "evil.keras"),
    ):
        with pytest.raises(WeightsError, match=r"Keras cannot load the model in '.*evil\.keras'"):
            call()
    assert not marker.exists()


# ImageNet weights without a network ----------------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """A download fails at once with `error`; returns the list that is filled with the time limits at the time."""

    def fail(error):
        def retrieve(*_, **__):
            limits.append(socket.getdefaulttimeout())
            raise error

        limits = []
        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", retrieve)
        return limits

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # Keras reads the variable once
    return fail


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("no route to host"),
        urllib.error.HTTPError("https://x", 503, "unavailable", None, None),
        urllib.error.ContentTooShortError("got only half", None),
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_imagenet_without_a_network_says_which_file_to_fetch_and_where_to_put_it(no_network, tmp_path, error):
    limits = no_network(error)
    original = socket.getdefaulttimeout()
    socket.setdefaulttimeout(33.0)
    try:
        with pytest.raises(WeightsError) as caught:
            kertl.load_backbone("MobileNetV2", input_shape=(96, 96, 3))
        assert socket.getdefaulttimeout() == 33.0
    finally:
        socket.setdefaulttimeout(original)
    folder = "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2"
    assert_names(caught.value, f"{folder}/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5")
    assert_names(caught.value, "MobileNetV2", tmp_path / "models", "`weights=`")
    assert limits == [10.0]


def test_without_a_network_an_efficientnets_file_goes_into_the_folder_only(no_network, tmp_path):
    no_network(urllib.error.URLError("no route to host"))
    with pytest.raises(WeightsError) as caught:
        kertl.load_backbone("EfficientNetB0", input_shape=(32, 32, 3))
    url = "https://storage.googleapis.com/keras-applications/efficientnetb0_notop.h5"
    assert_names(caught.value, url, tmp_path / "models")
    assert "`weights=`" not in str(caught.value)


def test_the_file_that_was_fetched_by_hand_is_found_in_the_folder(no_network, tmp_path):
    no_network(urllib.error.URLError("no route to host"))
    model = shaken(application("MobileNetV2", 96))
    (tmp_path / "models").mkdir()
    legacy(model, tmp_path / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5")
    loaded = kertl.load_backbone("MobileNetV2", input_shape=(96, 96, 3))
    for found, expected in zip(nested(loaded).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


# Arguments -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"), [("MobilenetV2", "MobileNetV2"), ("ResNet5O", "ResNet50"), ("efficientnetb0", "EfficientNetB0")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(name)
    assert_names(caught.value, "`source`", f"source={name!r}", repr(near), "`kertl backbones`")


def test_a_name_that_resembles_none_is_answered_with_where_to_look():
    with pytest.raises(ValueError, match=r"source='qqq'\. `kertl backbones`"):
        kertl.load_backbone("qqq")


@pytest.mark.parametrize("name", ["MobileNetV2", "InceptionV3", "Xception"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_size_below_the_minimum_is_refused(name, axis):
    minimum = APPLICATIONS[name].minimum
    shape = [128, 128, 3]
    shape[axis] = minimum - 1
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone(name, weights=None, input_shape=tuple(shape))
    assert_names(caught.value, "`input_shape`", f"({minimum}, {minimum}, 3)", name, f"input_shape={tuple(shape)}")


@pytest.mark.parametrize(
    "shape",
    [
        (64, 64),
        (64, 64, 0),
        (64, 64, 3.0),
        (64.0, 64, 3),
        (0, 64, 3),
        (-64, 64, 3),
        64,
        "64",
        (None, None, 3),
        (True, 64, 3),
    ],
)
def test_an_input_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.load_backbone("MobileNetV2", weights=None, input_shape=shape)
    assert_names(caught.value, "`input_shape`", "(height, width, channels)", f"input_shape={shape!r}")


def test_the_preprocessing_of_an_application_may_be_another():
    model = kertl.load_backbone("MobileNetV2", weights=None, input_shape=(32, 32, 3), preprocessing="unit")
    x = images(32)
    np.testing.assert_allclose(out(model, x), out(nested(model), x / 255), rtol=1e-4, atol=1e-5)


def test_a_classifier_with_a_nested_backbone_and_a_head_of_several_layers_is_cut_off():
    backbone = kertl.load_backbone(small_classifier())
    assert backbone.output_shape == (None, 4, 4, 24)
    assert backbone.backbone_name == "classifier"
