"""A model says so where it is asked about images that it was trained on."""

import logging
import shutil

import numpy as np
import pytest

import kertl
from kertl.model import count_trained_on, model_info, note_trained_on
from tests.messages import assert_names
from tests.runs import recipe, squares, tiny

EXACT = kertl.Stage("deep", solver="exact")


def said(caplog, call, *arguments, **options):
    """What a call warns of being trained on."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "kertl"):
        call(*arguments, **options)
    return [record.getMessage() for record in caplog.records if "trained on" in record.getMessage()]


@pytest.fixture(scope="module")
def data():
    return squares()


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A model whose head was solved once more on training and validation images, and the directory of its run."""
    model, folder = tiny(dropout=0.0), tmp_path_factory.mktemp("run")
    kertl.fine_tune(model, data, recipe=recipe(EXACT, refit=True), run_dir=folder, verbose=0)
    return model, folder


def evaluated(caplog, model, data, part):
    """What `evaluate` warns of; what the model predicts does not matter."""
    rows = np.full((getattr(data, part).num_examples, 3), 1 / 3, "float32")
    return said(caplog, kertl.evaluate, model, data, part=part, predictions=rows)


def test_images_that_a_run_trained_on_are_counted_in_memory_and_from_its_directory(trained, data, tmp_path, caplog):
    model, folder = trained
    for one in (model, kertl.load(folder)):
        assert not evaluated(caplog, one, data, "test")
        for part in ("train", "validation"):
            (found,) = evaluated(caplog, one, data, part)
            count = getattr(data, part).num_examples
            assert_names(found, f"{count} of these {count} images")
        both = kertl.data.joined([data.test, data.validation])
        rows = np.full((both.num_examples, 3), 1 / 3, "float32")
        (found,) = said(caplog, kertl.evaluate, one, both, predictions=rows)
        assert_names(found, f"{data.validation.num_examples} of these {both.num_examples} images")
    shutil.copy(folder / "model.keras", tmp_path / "copy.keras")
    assert not evaluated(caplog, kertl.load(tmp_path / "copy.keras"), data, "train")


def test_without_a_refit_the_validation_images_are_new_and_the_run_itself_warns_of_nothing(trained, data, caplog):
    _, folder = trained
    model = tiny(dropout=0.0)
    options = {"recipe": recipe(EXACT), "cache_dir": folder / "features", "verbose": 0}
    assert not said(caplog, kertl.fine_tune, model, data, **options)
    assert not evaluated(caplog, model, data, "validation")
    assert evaluated(caplog, model, data, "train")


def test_a_table_that_cannot_be_read_is_said_and_the_model_loads(trained, tmp_path, caplog):
    shutil.copy(trained[1] / "model.keras", tmp_path / "model.keras")
    (tmp_path / "data.csv").write_bytes(b"\xff\xfe")
    (found,) = said(caplog, kertl.load, tmp_path)
    assert_names(found, "data.csv")


def test_thresholds_that_are_tuned_on_trained_images_are_said(caplog):
    pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
    data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.5, test=0, task="binary")
    model = kertl.build("MobileNetV2", class_names=["0", "1"], task="binary", weights=None, input_shape=(32, 32, 3))
    rows = np.full((12, 1), 0.4, "float32")
    assert not said(caplog, kertl.tune_thresholds, model, data, predictions=rows)
    note_trained_on(model, data.validation.subset(np.arange(5)))
    (found,) = said(caplog, kertl.tune_thresholds, model, data, predictions=rows)
    assert_names(found, "12 validation images", "5 of which")


def test_derived_models_remember_and_files_do_not(tmp_path):
    data, model = squares(), tiny()
    note_trained_on(model, data.train)
    assert count_trained_on(kertl.stage_model(model, "mid"), data.train) == data.train.num_examples
    kertl.save(model, tmp_path / "m.keras")
    assert "trained_on" not in model_info(model).to_json()
    assert count_trained_on(kertl.load(tmp_path / "m.keras"), data.train) == 0
    assert count_trained_on(model, None) == 0
