import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.errors import DataError
from kertl.model import model_info, note_data
from tests.evaluation.pictures import NAMES, SIDE, by_padding, files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return files(tmp_path_factory.mktemp("pictures"))


def data(folder, resize="pad", **options):
    return kertl.data.from_directory(
        folder, image_size=(SIDE, SIDE), resize=resize, **{"validation": 0, "test": 0.5, **options}
    )


def accuracy(predictions, truth):
    return np.mean(predictions.argmax(axis=1) == truth)


@pytest.mark.parametrize("cache", [None, "memory"])
def test_files_are_judged_as_the_model_takes_them_however_they_were_made(folder, caplog, cache):
    model = note_data(by_padding(), data(folder))
    assert model_info(model).resize == "pad"
    assert kertl.evaluate(model, data(folder))["accuracy"] == 1.0
    with caplog.at_level(logging.WARNING):
        assert kertl.evaluate(model, data(folder, "stretch", cache=cache))["accuracy"] == 1.0
    assert "resize='pad'" in caplog.text
    # without a model that knows better, the same images are half wrong
    assert kertl.evaluate(by_padding(), data(folder, "stretch"))["accuracy"] == 0.5


def test_images_for_prediction_come_in_the_mode_of_the_model(folder):
    model = by_padding(resize="pad")
    found = kertl.data.images(folder, image_size=(SIDE, SIDE))
    truth = np.array(["wide" in Path(file).parent.name for file in found.files])
    for given in (found, folder, str(folder), found.files, [Path(file).read_bytes() for file in found.files]):
        assert accuracy(kertl.predict(model, given), truth) == 1.0


def test_files_of_another_size_are_decoded_anew(folder, caplog):
    model = by_padding(resize="pad")
    other = kertl.data.from_directory(folder, image_size=(24, 24), validation=0, test=0.5)
    with caplog.at_level(logging.WARNING):
        assert kertl.evaluate(model, other)["accuracy"] == 1.0
    assert "(16, 16)" in caplog.text
    assert "(24, 24)" in caplog.text


def test_arrays_that_were_resized_in_another_way_are_refused():
    pictures = np.zeros((4, SIDE, 2 * SIDE, 3), np.uint8)
    options = {"class_names": NAMES, "image_size": (SIDE, SIDE), "validation": 0, "test": 0}
    stretched = kertl.data.from_arrays(pictures, [0, 1] * 2, **options)
    for call in (kertl.predict, kertl.evaluate):
        with pytest.raises(DataError, match=r"resize='stretch'.*resize='pad'.*original images"):
            call(by_padding(resize="pad"), stretched.train)
    padded = kertl.data.from_arrays(pictures, [0, 1] * 2, resize="pad", **options)
    assert kertl.predict(by_padding(resize="pad"), padded.train).shape == (4, 2)


def test_arrays_at_their_own_size_go_with_every_model():
    pictures = np.zeros((4, SIDE, SIDE, 3), np.uint8)
    own = kertl.data.from_arrays(pictures, [0, 1] * 2, class_names=NAMES, validation=0, test=0)
    assert kertl.evaluate(by_padding(resize="pad"), own, part="train")["images"] == 4


def test_raw_arrays_of_another_size_are_resized_in_the_mode_of_the_model():
    wide, tall = np.full((SIDE, 2 * SIDE, 3), 150, np.uint8), np.full((2 * SIDE, SIDE, 3), 150, np.uint8)
    model = by_padding(resize="pad")
    for given in ([wide, tall], [Image.fromarray(wide), Image.fromarray(tall)], [wide, Image.fromarray(tall)]):
        assert kertl.predict(model, given).argmax(axis=1).tolist() == [1, 0]
    assert kertl.predict(model, wide).argmax(axis=1).tolist() == [1]
    assert kertl.predict(model, np.stack([tall, tall])).argmax(axis=1).tolist() == [0, 0]


def test_a_model_that_does_not_know_its_mode_says_so_once(folder, caplog):
    model = by_padding()
    with caplog.at_level(logging.WARNING):
        first = kertl.predict(model, folder)
        kertl.predict(model, folder)
    assert caplog.text.count("resize='stretch' is used") == 1
    np.testing.assert_array_equal(first, kertl.predict(by_padding(resize="stretch"), folder))
