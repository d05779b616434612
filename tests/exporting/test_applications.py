"""Every model of `keras.applications`, not a member of each family alone, exported for phones and servers."""

import keras
import numpy as np
import pytest

import kertl
from kertl.backbones import APPLICATIONS
from tests.families import SIDES, lively
from tests.runs import NAMES

FILES = {"litert": "m.tflite", "onnx": "m.onnx"}


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_says_in_litert_and_onnx_what_it_says_in_keras(tmp_path, name):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    side = SIDES.get(name, 64)
    squares = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype="uint8")
    rows = np.arange(side) * 4 // side
    pictures = squares[:, rows][:, :, rows]
    head = kertl.Head(dropout=None, initializer="glorot_uniform")
    model = kertl.build(name, class_names=NAMES, weights=None, input_shape=(side, side, 3), head=head)
    lively(model, pictures.astype("float32"))
    told_apart = np.ptp(model.predict(pictures, verbose=0), axis=0).max()
    data = kertl.data.from_arrays(pictures, NAMES * 4, validation=0, test=0)
    for format_, file in FILES.items():
        found = kertl.export(model, tmp_path / file, format=format_, data=data)
        assert (found.where, found.same) == ("12 train images", 1)
        assert found.difference < 0.01 * told_apart
        (tmp_path / file).unlink()
