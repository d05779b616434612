import gc
import io
import math
import weakref
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.errors import DataError
from kertl.evaluation._predict import preprocessed
from tests.messages import assert_names

NAMES = ["dark", "light"]
SIDE = 8


def brightness(channels=3, size=SIDE, known=True):
    """A model that says how bright a picture is."""
    inputs = keras.Input((size, size, channels))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(2, activation="softmax", name="predictions")
    model = keras.Model(inputs, dense(pooled), name="brightness")
    weight = 0.05 / channels
    dense.set_weights([np.array([[-weight, weight]] * channels), np.array([6.0, -6.0])])
    info = kertl.model.ModelInfo("single_label", tuple(NAMES), "none", "1", resize="stretch")
    return kertl.model.set_model_info(model, info) if known else model


def pictures(count=6):
    """Dark and light ones in turn."""
    levels = np.array([40, 200] * count)[:count] + np.arange(count)
    return np.broadcast_to(levels[:, None, None, None], (count, SIDE, SIDE, 3)).astype(np.uint8)


class Foreign(keras.utils.PyDataset):
    def __init__(self, x, y=None):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return math.ceil(len(self.x) / 4)

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return (self.x[rows],) if self.y is None else (self.x[rows], self.y[rows])


def encoded(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def forms(x, folder):
    """The same pictures in every form: name -> what `predict` is given."""
    for number, image in enumerate(x):
        (folder / f"{number}.png").write_bytes(encoded(image))
    paths = [folder / f"{number}.png" for number in range(len(x))]
    data = kertl.data.from_arrays(x, [0, 1] * (len(x) // 2), class_names=NAMES, validation=0, test=0)
    return {
        "a part": data.train,
        "bytes": x,
        "floats": x.astype("float32"),
        "a tensor": keras.ops.convert_to_tensor(x),
        "a list of arrays": list(x),
        "paths": paths,
        "texts": [str(path) for path in paths],
        "a folder": folder,
        "contents": [path.read_bytes() for path in paths],
        "Pillow images": [Image.fromarray(image) for image in x],
        "of all kinds": [paths[0], x[1], Image.fromarray(x[2]), encoded(x[3]), *paths[4:]],
        "somebody's dataset": Foreign(x.astype("float32")),
        "with labels": Foreign(x, np.array([0, 1] * (len(x) // 2))),
    }


def test_the_same_pictures_have_the_same_predictions_in_every_form(tmp_path):
    x, model = pictures(), brightness()
    expected = np.asarray(model.predict_on_batch(x.astype("float32")))
    assert expected.argmax(axis=1).tolist() == [0, 1] * 3
    for name, form in forms(x, tmp_path).items():
        found = kertl.predict(model, form)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_one_picture_alone_has_one_prediction(tmp_path):
    x, model = pictures(), brightness()
    (tmp_path / "one.png").write_bytes(encoded(x[1]))
    for one in (x[1], x[1].astype("float32"), tmp_path / "one.png", encoded(x[1]), Image.fromarray(x[1])):
        np.testing.assert_allclose(kertl.predict(model, one), kertl.predict(model, x)[1:2], rtol=1e-5)
    assert kertl.predict(model, x[1, ..., 0]).shape == (1, 2)


def test_a_pillow_image_is_turned_upright_and_stays_as_it_is():
    image = Image.fromarray(np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3))
    image.getexif()[0x0112] = 6
    turned = kertl.data.read_image(image, (4, 2))
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(image), -1))
    assert image.size == (4, 2)
    stream = io.BytesIO()
    image.save(stream, "PNG", exif=image.getexif())
    np.testing.assert_array_equal(kertl.data.read_image(stream.getvalue(), (4, 2)), turned)


def test_bytes_that_are_no_image_are_named():
    with pytest.raises(DataError, match=r"The content is not a"):
        kertl.predict(brightness(), b"nothing")


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the form is TensorFlow's")
def test_a_tf_dataset_is_asked_and_judged_in_one_pass():
    import tensorflow as tf

    x, model = pictures(), brightness()
    labels = np.array([0, 1] * 3)
    batches = tf.data.Dataset.from_tensor_slices((x, labels)).shuffle(6).batch(4)
    found = kertl.evaluate(model, batches)
    assert (found["accuracy"], found["images"]) == (1.0, 6)
    one_hot = tf.data.Dataset.from_tensor_slices((x.astype("float32"), np.eye(2, dtype="float32")[labels])).batch(4)
    assert kertl.evaluate(model, one_hot)["accuracy"] == 1.0
    bare = tf.data.Dataset.from_tensor_slices(x).batch(4)
    np.testing.assert_allclose(kertl.predict(model, bare), kertl.predict(model, x), rtol=1e-5)
    with pytest.raises(ValueError, match=r"`data` must be a dataset that ends"):
        kertl.predict(model, batches.repeat())
    with pytest.raises(ValueError, match=r"batch\(32\)"):
        kertl.predict(model, tf.data.Dataset.from_tensor_slices(x))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the form is TensorFlow's")
@pytest.mark.parametrize("label_mode", ["int", "categorical", "binary"])
def test_classes_of_a_keras_dataset_from_folders_go_by_name(tmp_path, label_mode):
    for name, colour in (("dark", 0), ("light", 255)):
        (tmp_path / name).mkdir()
        for k in range(3):
            Image.new("RGB", (4, 4), (colour,) * 3).save(tmp_path / name / f"{k}.png")
    model = brightness()  # of 8 x 8 pixels; its classes are dark and light, in this order
    for order in (["dark", "light"], ["light", "dark"]):
        data = keras.utils.image_dataset_from_directory(
            tmp_path, class_names=order, image_size=(4, 4), label_mode=label_mode, verbose=False
        )
        found = kertl.evaluate(model, data)
        assert (found["accuracy"], list(found["classes"])) == (1.0, ["dark", "light"])


def test_versions_of_somebodys_batches_are_a_function_of_the_seed():
    model, batches = brightness(), Foreign(pictures())
    found = kertl.predict(model, batches, views=2, augment=["brightness"], seed=1)
    np.testing.assert_array_equal(found, kertl.predict(model, batches, views=2, augment=["brightness"], seed=1))
    assert not np.array_equal(found, kertl.predict(model, batches, views=2, augment=["brightness"], seed=2))


@pytest.mark.parametrize("known", [True, False])
def test_long_floats_are_predicted_on_and_objects_are_told_what_to_do(known):
    model, x = brightness(known=known), pictures()
    for data in (x.astype(np.longdouble), Foreign(x.astype(np.longdouble))):
        np.testing.assert_allclose(kertl.predict(model, data), kertl.predict(model, x), atol=1e-6)
    with pytest.raises(DataError, match="must hold numbers") as caught:
        kertl.predict(brightness(known=False), x.astype(object))
    assert_names(caught.value, "`data`", "dtype object", '`.astype("float32")`')


def test_floats_of_0_to_1_are_not_taken_for_pictures_of_0_to_255():
    x, model = pictures() / 255.0, brightness()
    for given in (x, x[0], list(x), Foreign(x)):
        with pytest.raises(DataError, match=r"0 to 255\..* floats from .* by 255"):
            kertl.predict(model, given)
    with pytest.raises(DataError, match="by 255"):
        kertl.evaluate(model, (x, [0, 1] * 3))
    for wrong in (pictures() - 300.0, pictures() * 2.0):
        with pytest.raises(DataError, match="values from"):
            kertl.predict(model, wrong)
    # the range may be said
    whole = kertl.predict(model, pictures())
    for given in (x, list(x), Foreign(x), [x[0], *x[1:]]):
        np.testing.assert_allclose(kertl.predict(model, given, value_range=(0, 1)), whole, rtol=1e-5)
    np.testing.assert_allclose(kertl.predict(model, x[0], value_range=(0, 1)), whole[:1], rtol=1e-5)
    assert kertl.evaluate(model, (x, [0, 1] * 3), value_range=(0, 1))["accuracy"] == 1.0
    x[5, 0, 0, 0] = np.nan
    for given in (x * 255, Foreign(x * 255)):
        with pytest.raises(DataError, match="NaN in image 5"):
            kertl.predict(model, given)
    # somebody's own model may take them
    assert kertl.predict(brightness(known=False), pictures() / 255.0).shape == (6, 2)


@pytest.mark.parametrize("channels", [1, 4])
def test_images_in_every_form_are_given_the_channels_of_the_model(channels, tmp_path):
    model, x = brightness(channels=channels), pictures()
    given = forms(x, tmp_path)
    if channels == 1:
        for name, one in given.items():
            found = kertl.predict(model, one, **({"part": "train"} if isinstance(one, kertl.data.ImageData) else {}))
            assert found.argmax(axis=1).tolist() == ([0, 1] * 3)[: len(found)], name
        return
    opaque = np.concatenate([x, np.full((*x.shape[:3], 1), 255, "uint8")], axis=-1)
    expected = kertl.predict(model, opaque)
    files = [tmp_path / f"{number}.png" for number in range(len(x))]
    for one in (files, [file.read_bytes() for file in files], [Image.open(file) for file in files]):
        np.testing.assert_array_equal(kertl.predict(model, one), expected)
    np.testing.assert_array_equal(kertl.predict(model, kertl.data.images(files, image_size=(SIDE, SIDE))), expected)
    for one in (given["a part"], x):
        with pytest.raises(DataError) as caught:
            kertl.predict(model, one)
        assert_names(caught.value, "4", "channels")


@pytest.mark.parametrize("channels", [1, 4])
def test_an_augmented_version_has_the_channels_too_and_colours_are_left_alone(channels):
    model = brightness(channels=channels)
    x = np.repeat(pictures()[..., :1], channels, axis=-1)
    assert kertl.predict(model, x, views=1).argmax(axis=1).tolist() == [0, 1] * 3
    with pytest.raises(ValueError, match="'hue'"):
        kertl.predict(model, x, views=1, augment=["hue"])


def test_a_folder_is_evaluated_in_the_channels_of_the_model(tmp_path):
    for number, image in enumerate(pictures()):
        folder = tmp_path / NAMES[number % 2]
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{number}.npy", image[..., :1])
        (folder / f"{number}.png").write_bytes(encoded(image))
    found = kertl.evaluate(brightness(channels=1), tmp_path)
    assert (found["accuracy"], found["images"]) == (1.0, 12)


def test_files_want_a_model_of_one_size(tmp_path):
    x = pictures()
    (tmp_path / "one.png").write_bytes(encoded(x[0]))
    with pytest.raises(ValueError, match="takes pictures of one size"):
        kertl.predict(brightness(size=None), tmp_path / "one.png")
    np.testing.assert_allclose(kertl.predict(brightness(size=None), x), kertl.predict(brightness(), x), rtol=1e-5)


def test_a_file_that_is_named_must_be_readable_and_one_in_a_folder_need_not(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(pictures()[0]))
    (tmp_path / "b.png").write_bytes(b"")
    assert len(kertl.predict(brightness(), tmp_path)) == 1
    with pytest.raises(DataError, match=r"b\.png"):
        kertl.predict(brightness(), [tmp_path / "a.png", tmp_path / "b.png"])


@pytest.mark.parametrize("wrong", [None, 3, [], {"images": 1}, [1, 2]])
def test_what_is_in_no_form_of_images_is_refused(wrong):
    with pytest.raises(ValueError, match=r"`data` must be .*`kertl\.data`.* Received: data="):
        kertl.predict(brightness(), wrong)


def test_the_part_of_a_data_set_is_chosen_by_name():
    x, model = pictures(40), brightness()
    data = kertl.data.from_arrays(x, [0, 1] * 20, class_names=NAMES, validation=0.2, test=0.3)
    for part in ("train", "validation", "test"):
        dataset = getattr(data, part)
        np.testing.assert_array_equal(kertl.predict(model, data, part=part), kertl.predict(model, dataset))
        assert kertl.evaluate(model, data, part=part) == kertl.evaluate(model, dataset)
    assert kertl.evaluate(model, data) == kertl.evaluate(model, data.test)
    np.testing.assert_array_equal(kertl.predict(model, data), kertl.predict(model, data.test))


def test_an_empty_part_is_an_error_that_names_those_that_are_not():
    data = kertl.data.from_arrays(pictures(40), [0, 1] * 20, class_names=NAMES, validation=0.2, test=0)
    for call in (kertl.predict, kertl.evaluate):
        with pytest.raises(ValueError, match=r"`part` must be .* 'train' or 'validation'\..*part='test'"):
            call(brightness(), data)
        with pytest.raises(ValueError, match=r"Did you mean 'train'"):
            call(brightness(), data, part="training")


def test_somebodys_batches_without_labels_cannot_be_judged():
    with pytest.raises(ValueError, match="images with their labels"):
        kertl.evaluate(brightness(), Foreign(pictures()))


def of_fractions(before):
    """A model from elsewhere that takes other pixels than 0..255."""
    inputs = keras.Input((8, 8, 3))
    x = before(inputs) if before else inputs
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x), name="theirs")


def test_a_model_from_elsewhere_is_given_the_pixels_that_its_graph_expects(caplog):
    model = of_fractions(keras.layers.Rescaling(2.0, offset=-1.0))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype="uint8")
    expected = keras.ops.convert_to_numpy(model(pixels / 255))
    np.testing.assert_allclose(kertl.predict(model, pixels), expected, rtol=1e-5, atol=1e-6)
    assert_names(caplog.records[-1].message, "'theirs'", "0..1", "`preprocessing=`")
    accuracy = (expected.argmax(axis=1) == np.array([0, 1, 2, 0])).mean()
    assert kertl.evaluate(model, (pixels, np.array([0, 1, 2, 0])))["accuracy"] == accuracy
    np.testing.assert_allclose(kertl.predict(model, pixels / 255), expected, rtol=1e-5, atol=1e-6)  # floats as they are


def test_pixels_that_nothing_tells_go_in_as_they_are_and_that_is_said(caplog):
    model = of_fractions(None)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype="uint8")
    found = kertl.predict(model, pixels)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(pixels)), rtol=1e-5, atol=1e-6)
    assert any("`preprocessing=`" in record.message for record in caplog.records)
    told = kertl.predict(model, pixels, preprocessing="unit")
    np.testing.assert_allclose(told, keras.ops.convert_to_numpy(model(pixels / 255)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("ask", [kertl.predict, kertl.evaluate], ids=lambda ask: ask.__name__)
def test_a_path_is_no_model(ask):
    with pytest.raises(ValueError, match="Received") as caught:
        ask("runs/1", pictures())
    assert_names(caught.value, "`model`", "`kertl.load(...)`", "'runs/1'")


def test_a_model_from_elsewhere_is_traced_once_for_all_calls_and_saved_as_before(tmp_path):
    model = of_fractions(None)
    pixels = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), dtype="uint8")
    model.save(tmp_path / "before.keras")
    first = kertl.predict(model, pixels, preprocessing="unit")
    taken = preprocessed(model, "unit", pixels, None, 0)
    assert taken is preprocessed(model, "unit", pixels, None, 0)
    assert taken.predict_function is not None
    np.testing.assert_array_equal(kertl.predict(model, pixels, preprocessing="unit"), first)
    assert not np.allclose(kertl.predict(model, pixels, preprocessing="tf"), first)
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    assert not np.allclose(kertl.predict(model, pixels, preprocessing="unit"), first)
    model.save(tmp_path / "after.keras")
    names = [sorted(zipfile.ZipFile(tmp_path / f"{name}.keras").namelist()) for name in ("before", "after")]
    assert names[0] == names[1]
    again = keras.saving.load_model(tmp_path / "after.keras")
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    watched = weakref.ref(model)
    del model, taken
    gc.collect()
    assert watched() is None
