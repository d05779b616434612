from pathlib import Path

import keras
import pytest

import kertl
import kertl.data
from kertl.data import data_errors
from kertl.errors import DataError


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
    return (
        f"The image {path!r} cannot be opened: No such file or directory; it could be read when the data set was made."
    )


@pytest.mark.parametrize("part", ["train", "validation"])
def test_fit_ends_with_the_error_of_the_data(data, model, part):
    message = gone(getattr(data, part).files[-1])
    with pytest.raises(DataError) as raised, data_errors(data.train, data.validation, data.test):
        model.fit(data.train, validation_data=data.validation, verbose=0)
    assert str(raised.value) == message
    assert raised.value.__suppress_context__


def test_predict_ends_with_the_error_of_the_data(data, model):
    message = gone(data.train.files[-1])
    with pytest.raises(DataError) as raised:
        kertl.predict(model, data.train)
    assert str(raised.value) == message


def test_other_errors_pass_unchanged(data, model):
    gone(data.train.files[0])
    with pytest.raises(DataError):
        data.train.in_order()[0]
    error = RuntimeError("of another origin")
    with pytest.raises(RuntimeError) as raised, data_errors(data.train):
        raise error
    assert raised.value is error


def test_a_batch_read_ahead_does_not_take_the_blame(data):
    message = gone(data.train.files[0])

    def read_ahead_and_fail():
        with pytest.raises(DataError):
            list(data.train)
        raise RuntimeError("of another origin")

    with pytest.raises(RuntimeError) as raised, data_errors(data.train):
        read_ahead_and_fail()
    assert str(raised.value) == "of another origin"
    assert str(data.train.failure) == message


def test_what_is_outside_is_forgotten(data):
    message = gone(data.train.files[0])
    with pytest.raises(DataError):
        list(data.train)
    assert str(data.train.failure) == message
    with data_errors(data.train):
        assert data.train.failure is None
