"""A small run whose images are files."""

import keras
import pytest

import kertl
from tests.exporting.colours import by_colour, photo_files
from tests.runs import NAMES, quick, recipe


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    return photo_files(tmp_path_factory.mktemp("exporting") / "photos")


@pytest.fixture(scope="session")
def finished(photos, tmp_path_factory):
    """A run of one epoch on these."""
    data = kertl.data.from_directory(photos, image_size=(32, 32), validation=0.25, test=0.25, batch_size=8)
    assert data.class_names == NAMES
    run_dir = tmp_path_factory.mktemp("exported") / "run"
    model = keras.models.clone_model(by_colour())
    model.set_weights(by_colour().get_weights())
    kertl.model.set_model_info(model, kertl.model.model_info(by_colour()))
    return kertl.fine_tune(model, data, recipe=recipe(quick(learning_rate=1e-5)), run_dir=run_dir)
