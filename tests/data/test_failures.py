from pathlib import Path

import keras
import pytest

import kertl
import kertl.data
from kertl.data import data_errors
from kertl.errors import DataError
from tests.messages import assert_names


@pytest.fixture
def data(photos):
    return kertl.data.from_directory(photos, image_size=(4, 4), batch_size=4, validation=0.2, test=0)


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def gone(path):
    Path(path).unlink()
    return path


@pytest.mark.parametrize("part", ["train", "validation"])
def test_fit_ends_with_the_error_of_the_data(data, model, part):
    path = gone(getattr(data, part).files[-1])
    with pytest.raises(DataError) as raised, data_errors(data.train, data.validation, data.test):
        model.fit(data.train, validation_data=data.validation, verbose=0)
    assert_names(raised.value, path)
    assert raised.value.__suppress_context__


def test_predict_ends_with_the_error_of_the_data(data, model):
    path = gone(data.train.files[-1])
    with pytest.raises(DataError) as raised:
        kertl.predict(model, data.train)
    assert_names(raised.value, path)


def test_other_errors_pass_unchanged(data, model):
    gone(data.train.files[0])
    with pytest.raises(DataError):
        data.train.in_order()[0]
    error = RuntimeError("of another origin")
    with pytest.raises(RuntimeError) as raised, data_errors(data.train):
        raise error
    assert raised.value is error


def test_a_batch_read_ahead_does_not_take_the_blame(data):
    path = gone(data.train.files[0])

    def read_ahead_and_fail():
        with pytest.raises(DataError):
            list(data.train)
        raise RuntimeError("of another origin")

    with pytest.raises(RuntimeError) as raised, data_errors(data.train):
        read_ahead_and_fail()
    assert str(raised.value) == "of another origin"
    assert_names(data.train.failure, path)


def test_what_is_outside_is_forgotten(data):
    path = gone(data.train.files[0])
    with pytest.raises(DataError):
        list(data.train)
    assert_names(data.train.failure, path)
    with data_errors(data.train):
        assert data.train.failure is None
