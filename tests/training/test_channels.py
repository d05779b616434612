"""Models for images of any number of channels are trained, and images of another number are refused at every door."""

import re

import keras
import numpy as np
import pytest

import kertl
from tests.families import tiny_backbone
from tests.messages import assert_names
from tests.runs import quick, recipe


def images(channels, **options):
    """Dark and light pictures of one class each."""
    x = np.random.default_rng(0).integers(0, 60, (24, 32, 32, channels), "uint8")
    x[1::2] += 180
    options = {"validation": 0.25, "test": 0.25, "batch_size": 4, "channels": channels, **options}
    return kertl.data.from_arrays(x, ["dark", "light"] * 12, **options)


def model_for(channels):
    keras.utils.set_random_seed(0)
    return kertl.build(tiny_backbone(), class_names=["dark", "light"], input_shape=(32, 32, channels))


@pytest.mark.parametrize(
    ("channels", "stage"),
    [(1, quick("deep", cache=True, augment="light", views=1)), (4, quick("full", augment=["flip", "contrast"]))],
)
def test_a_model_of_other_channels_is_trained_on_features_and_on_images(channels, stage, tmp_path):
    data, model = images(channels), model_for(channels)
    run = kertl.fine_tune(model, data, recipe=stage, run_dir=tmp_path / "run", verbose=0)
    assert kertl.model.model_info(run.model).channels == channels
    loaded = kertl.load(tmp_path / "run")
    np.testing.assert_allclose(kertl.predict(loaded, data), kertl.predict(model, data), rtol=1e-5)
    assert f'"channels": {channels}' in "".join(path.read_text() for path in (tmp_path / "run").glob("*.json"))


def test_features_are_cached_by_the_channels_of_the_images(tmp_path):
    """Files of one content, read in one channel and in three, for a model that takes any number."""
    for number in range(4):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{number}.npy", np.full((8, 8, 3), 50 * number, "uint8"))
    inputs = keras.Input((8, 8, None))
    turned = keras.layers.Permute((1, 3, 2))(inputs)  # a layer whose weights do not depend on the channels
    model = keras.Model(inputs, keras.layers.Dense(5, name="along_the_width")(turned))
    found = {}
    for channels in (1, 3):
        options = {"image_size": (8, 8), "validation": 0, "test": 0, "channels": channels}
        data = kertl.data.from_directory(tmp_path / "photos", **options)
        found[channels] = kertl.extract(model, data.train, cache_dir=tmp_path / "cache").values.shape
    assert found == {1: (4, 8, 1, 5), 3: (4, 8, 3, 5)}


DOORS = {
    "fine_tune": lambda model, data: kertl.fine_tune(model, data, recipe="deep", verbose=0),
    "cross_validate": lambda model, data: kertl.cross_validate(model, data, folds=2),
    "cross_validate on images": lambda model, data: kertl.cross_validate(model, data, folds=2, recipe=quick("full")),
    "extract": lambda model, data: kertl.extract(model, data.train),
    "baselines": lambda model, data: kertl.baselines(model, data),
    "stage_range_test": lambda model, data: kertl.range_test.stage_range_test(model, data, quick("full")),
    "learning_curve": lambda model, data: kertl.learning_curve(model, data, sizes=[4, 6, 8], repeats=1),
    "verify_cached": lambda model, data: kertl.verify_cached(model, data),
    "check_augmentation": lambda model, data: kertl.data.check_augmentation(model, data, ["flip"]),
}


@pytest.mark.parametrize("door", DOORS)
def test_images_of_other_channels_than_the_models_are_refused_with_the_argument_that_gives_them(door):
    with pytest.raises(ValueError, match="`data` must") as caught:
        DOORS[door](model_for(1), images(3))
    assert "channels=" in str(caught.value)
    assert {"1", "3"} <= set(re.findall(r"\d+", str(caught.value)))


def test_fine_tune_names_both_numbers_and_both_ways_out():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.fine_tune(model_for(1), images(3), recipe="deep")
    assert_names(caught.value, "1 channels", "channels=3", "channels=1", "input_shape=(32, 32, 3)")


def test_colours_of_grey_images_are_refused_before_anything_is_trained():
    stages = recipe(quick("deep"), quick("full", augment=["flip", "saturation"]))
    with pytest.raises(ValueError, match="augment") as caught:
        kertl.fine_tune(model_for(1), images(1), recipe=stages)
    assert_names(caught.value, "'saturation'", "1 channels", "'contrast'")


def test_cached_and_live_losses_agree_for_grey_images():
    assert kertl.verify_cached(model_for(1), images(1), at="deep").same
