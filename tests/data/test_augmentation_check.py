import math

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.data import AugmentationCheck, Effect, check_augmentation
from kertl.data.augment import TRANSFORMATIONS
from tests.messages import assert_names

SIDE = 12


def told_apart_by(features, weights, bias, units=2):
    """A model that answers by a linear function of some features of 0..1 pictures, quite surely."""
    inputs = keras.Input((SIDE, SIDE, 3))
    x = features(keras.layers.Rescaling(1 / 255)(inputs))
    dense = keras.layers.Dense(units, activation="softmax" if units > 1 else "sigmoid")
    model = keras.Model(inputs, dense(x))
    dense.set_weights([np.asarray(weights, "float32"), np.asarray(bias, "float32")])
    return model


def data(pictures, **options):
    labels = [number % 2 for number in range(len(pictures))]
    options = {"validation": 0.5, "test": 0, "batch_size": 32, "class_names": ["no", "yes"], **options}
    return kertl.data.from_arrays(np.clip(pictures, 0, 255).astype("uint8"), labels, **options)


def by_brightness(count=240, **options):
    """The second class is brighter."""
    noise = np.random.default_rng(0).normal(0, 20, (count, SIDE, SIDE, 3))
    noise[1::2] += 50
    model = told_apart_by(keras.layers.GlobalAveragePooling2D(), [[0, 20]] * 3, [0, -60 * 125 / 255])
    return model, data(100 + noise, **options)


def arrows(count=240):
    """The second class grows brighter to the right, the first to the left."""
    ramp = np.linspace(-60, 60, SIDE)[None, None, :, None] * np.where(np.arange(count) % 2, 1, -1)[:, None, None, None]
    pictures = 128 + ramp + np.random.default_rng(0).normal(0, 20, (count, SIDE, SIDE, 3))
    rising = np.repeat(np.tile(np.linspace(-1, 1, SIDE), SIDE), 3)
    model = told_apart_by(keras.layers.Flatten(), np.stack([-rising, rising], axis=1), [0, 0])
    return model, data(pictures)


def size(path):
    with Image.open(path) as picture:
        return picture.size


def flagged(found):
    return {(row.transformation, row.amount) for row in found.flagged}


def test_brightness_is_flagged_where_brightness_is_the_class_and_flips_are_not():
    found = check_augmentation(*by_brightness(), ["flip", "brightness", ("shift", 0.1)])
    assert found.accuracy == 1
    assert found.part == "validation"
    assert flagged(found) == {("brightness", 0.2), ("brightness", 0.4)}
    assert [row.change < 0.01 for row in found.rows] == [True, True, False, False, False, True]
    changes = [row.change for row in found.rows if row.transformation == "brightness"]
    assert changes == sorted(changes)


def test_a_flip_is_flagged_where_left_and_right_differ_and_brightness_is_not():
    found = check_augmentation(*arrows(), ["flip", ("brightness", 0.2)])
    assert flagged(found) == {("flip", "horizontal")}
    row = found.rows[0]
    assert 0.3 < row.accuracy < 0.7, "half of the pictures are mirrored"
    assert row.changed == row.lost / row.images == pytest.approx(1 - row.accuracy)
    assert row.change == pytest.approx(row.changed, abs=0.02)


@pytest.mark.slow
def test_by_default_all_transformations_are_tried_by_several_amounts():
    found = check_augmentation(*by_brightness(24))
    tried = {}
    for row in found.rows:
        tried.setdefault(row.transformation, []).append(row.amount)
    assert tried.keys() == TRANSFORMATIONS.keys()
    assert tried["flip"] == ["horizontal", "vertical"]
    assert tried["rotation"] == [0.025, 0.05, 0.1]
    assert tried["erasing"] == [0.25, 0.5, 1.0]
    assert found.level == 0.05 / len(found.rows) == 0.05 / 38
    assert [(row.transformation, row.amount) for row in check_augmentation(*by_brightness(24), "light").rows] == [
        ("flip", "horizontal"),
        ("brightness", 0.1),
    ]


def test_the_same_seed_asks_the_same_and_the_model_stays_as_it_is():
    model, images = by_brightness(48)
    before = [value.copy() for value in model.get_weights()]
    chosen = ["rand_augment", "color_jitter", "brightness"]
    one, again, other = (check_augmentation(model, images, chosen, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_one_output_is_the_probability_of_the_second_class():
    _, images = by_brightness(task="binary")
    model = told_apart_by(keras.layers.GlobalAveragePooling2D(), [[20]] * 3, [-60 * 125 / 255], units=1)
    found = check_augmentation(model, images, ["flip", ("brightness", 0.4)])
    assert found.accuracy == 1
    assert flagged(found) == {("brightness", 0.4)}


def test_a_part_is_asked_as_it_is_and_the_test_part_where_there_is_no_validation_part():
    model, images = by_brightness(48, validation=0, test=0.5)
    by_part = check_augmentation(model, images.test, ["flip"])
    assert (by_part.part, by_part.rows[0].images) == ("given", 24)
    assert check_augmentation(model, images, ["flip"]) == AugmentationCheck(by_part.rows, by_part.accuracy, "test", 24)


def test_p_is_that_of_mcnemars_exact_test_and_the_interval_that_of_agresti_and_min():
    row = Effect("flip", "horizontal", 0.1, 0.1, images=100, right=80, lost=9, won=2)
    assert row.p_value == sum(math.comb(11, k) for k in (9, 10, 11)) / 2**11
    difference, spread = -7 / 102, math.sqrt(12 - 49 / 102) / 102
    assert row.interval == pytest.approx((difference - 1.96 * spread, difference + 1.96 * spread))
    same = Effect("flip", "horizontal", 0.0, 0.0, images=100, right=89, lost=0, won=0)
    assert same.p_value == 1
    assert same.interval[0] < 0 < same.interval[1]


def test_little_time_takes_some_images_at_random_and_says_so():
    model, images = arrows()
    found = check_augmentation(model, images, ["flip"], minutes=1e-6)
    assert 0 < found.rows[0].images < found.available == 120
    assert f"{found.rows[0].images} of the 120 validation images" in " ".join(str(found).split())
    assert "at random" in str(found)


def test_the_table_tells_all_and_the_picture_is_drawn(tmp_path):
    found = check_augmentation(*arrows(), ["flip", ("brightness", 0.2)])
    text = str(found)
    row = found.rows[0]
    assert f"{row.accuracy:.3f}" in text
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("FLAG") == 1
    assert "Accuracy of the 120 validation images as they are: 1.0000." in " ".join(text.split())
    assert "Of 3 checks, those with p < 1.7e-02 are flagged" in " ".join(text.split())
    found.plot(tmp_path / "check.png")
    assert size(tmp_path / "check.png")[0] > 500


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            lambda model, images: (model, by_brightness(24, validation=0)[1]),
            ("`data`", "validation", "test", "neither", "`validation=0.15`"),
        ),
        (lambda model, images: (model, images, []), ("`transformations`", "transformations=[]")),
        (
            lambda model, images: (model, images, ["spin"]),
            ("`augment`", *map(repr, TRANSFORMATIONS), "augment='spin'"),
        ),
        (
            lambda model, images: (
                keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Dense(5)], name="five"),
                images,
            ),
            ("`model`", "2 outputs", "['no', 'yes']", "model='five'", "5"),
        ),
        (
            lambda model, images: (
                model,
                kertl.data.from_arrays(
                    np.random.default_rng(0).integers(0, 255, (8, SIDE, SIDE, 3), "uint8"),
                    np.arange(8.0),
                    task="regression",
                    validation=0.5,
                    test=0,
                ),
            ),
            ("`data`", "data='regression'"),
        ),
        (lambda model, images: (model, None), ("`data`", "`kertl.data.from_directory`", "data=None")),
    ],
)
def test_what_cannot_be_checked_is_refused(arguments, named):
    with pytest.raises(ValueError, match="must") as caught:
        check_augmentation(*arguments(*by_brightness(24)))
    assert_names(caught.value, *named)


@pytest.mark.parametrize("augment", ["strong", ["flip", ("rotation", 0.1)]])
def test_a_preview_has_a_row_per_class_and_a_column_per_version(tmp_path, augment):
    images = by_brightness(24)[1]
    paths = [tmp_path / name for name in ("wide.png", "narrow.png", "again.png")]
    for path, versions in zip(paths, (5, 2, 2), strict=True):
        kertl.data.preview_augmentation(images, augment, path, versions=versions)
    wide, narrow, again = map(size, paths)
    assert wide == (2 * narrow[0], narrow[1])
    assert narrow == again
    assert paths[1].read_bytes() == paths[2].read_bytes()


def test_a_preview_of_images_without_classes_has_them_in_order_and_refuses_what_is_out_of_range(tmp_path):
    pictures = np.arange(8, dtype="uint8")[:, None, None, None] * np.ones((1, 8, 8, 3), "uint8")
    images = kertl.data.from_arrays(pictures, np.arange(8.0), task="regression", validation=0, test=0)
    kertl.data.preview_augmentation(images, "none", tmp_path / "grid.png", images=3)
    assert size(tmp_path / "grid.png")[1] == 120 * (1.5 * 3 + 0.5)
    with pytest.raises(ValueError, match=r"^`versions` must be .*>= 1.*versions=0\. \[range\]$"):
        kertl.data.preview_augmentation(images, "none", tmp_path / "grid.png", versions=0)
