"""What the numbers in arrays mean: 0 to 255, unless somebody says otherwise."""

import logging

import keras
import numpy as np
import pytest

import kertl
import kertl.data
from kertl.data._pixels import array_images
from kertl.errors import DataError
from tests.messages import assert_names

BYTES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), np.uint8)
BYTES[:, 0, 0] = 0, 128, 255


def refusal(x, value_range=None):
    with pytest.raises(DataError) as raised:
        array_images(x, value_range)
    return str(raised.value)


def with_value(x, image, value):
    x = x.copy()
    x[image, 2, 2, 1] = value
    return x


@pytest.mark.parametrize("value", [1.0, 1.02, 1.9])
def test_images_of_0_to_1_do_not_become_black_because_one_value_is_above(value):
    found = refusal(with_value(BYTES / 255.0, 7, value))
    assert_names(found, "`x`", "0 to 255", f"0 to {value:g}", "40 of 40", "image 0", "by 255", "value_range=(0, 1)")


def test_images_of_0_to_1_among_others_are_found(caplog):
    mixed = BYTES.astype("float32")
    mixed[[11, 30]] /= 255
    assert_names(refusal(mixed), "2 of 40", "image 11", "value_range=(0, 255)")
    with caplog.at_level(logging.INFO):
        np.testing.assert_array_equal(array_images(mixed, (0, 255))[11], np.rint(mixed[11]))
    assert_names(caplog.text, "`x`", "floats", "0 to 255", "`value_range`")
    mixed[[11, 30]] = np.rint(mixed[[11, 30]])  # black and 1 of 255: what a dark picture is
    np.testing.assert_array_equal(array_images(mixed), mixed)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1), (0, 255), (-0.5, 0.5)])
def test_a_range_that_is_given_is_scaled_to_bytes(kind, value_range):
    low, high = value_range
    x = (low + BYTES / 255.0 * (high - low)).astype(kind).clip(low, high)
    found = array_images(x, value_range)
    np.testing.assert_array_equal(found, BYTES)
    data = kertl.data.from_arrays(x, [0] * 40, validation=0, test=0, value_range=value_range)
    np.testing.assert_array_equal(data.train.in_order()[0][0], BYTES[:32])
    own = kertl.data.from_dataset((x, [0] * 40), value_range=value_range)
    np.testing.assert_array_equal(own.train.in_order()[0][0], BYTES[:32])


def test_whole_numbers_are_scaled_too_and_what_is_nearly_black_is_said(caplog):
    masks = (BYTES > 127).astype(np.uint8)
    np.testing.assert_array_equal(array_images(masks, (0, 1)), masks * 255)
    deep = BYTES.astype(np.uint16) * 257
    np.testing.assert_array_equal(array_images(deep, (0, 65535)), BYTES)
    assert_names(refusal(deep), "0 to 65535", "`value_range`")
    assert not caplog.records
    np.testing.assert_array_equal(array_images(masks), masks)
    assert_names(caplog.text, "`x`", "black", "value_range=(0, 1)")


@pytest.mark.parametrize(
    ("value", "value_range", "named"),
    [
        (np.nan, None, ("NaN in image 7",)),
        (np.nan, (0, 255), ("NaN in image 7",)),
        (np.inf, None, ("0 to inf in image 7",)),
        (-1, None, ("0 to 255", "-1 to 255 in image 7")),
        (255.5, None, ("0 to 255.5 in image 7",)),
        (256, (0, 255), ("image 7", "np.clip(x, 0, 255)")),
    ],
)
def test_the_first_image_with_a_value_outside_is_named(value, value_range, named):
    x = with_value(with_value(BYTES.astype("float32"), 7, value), 21, value)
    assert_names(refusal(x, value_range), *named)


def test_the_number_of_an_image_counts_over_batches():
    tf = pytest.importorskip("tensorflow")
    x = with_value(BYTES.astype("float32"), 27, np.nan)
    with pytest.raises(DataError, match=r"`train` .*NaN in image 27"):
        kertl.data.from_dataset(tf.data.Dataset.from_tensor_slices((x, [0] * 40)).batch(8))


def test_numbers_from_minus_1_to_1_are_told_how_to_be_passed():
    assert_names(refusal(BYTES / 127.5 - 1), "-1 to 1", "value_range=(-1, 1)")


@pytest.mark.parametrize("value_range", [1, (0,), (1, 0), (0, np.nan), (0, 10**400), ("0", "1"), (False, True)])
def test_what_is_no_range_is_refused(value_range):
    with pytest.raises(ValueError, match=r"`value_range` must be .*Received: value_range="):
        kertl.data.from_arrays(BYTES, [0] * 40, value_range=value_range)


@pytest.mark.parametrize("give", [array_images, lambda x: kertl.data.from_arrays(x, np.arange(40) % 2)])
def test_masked_pixels_are_refused_and_a_mask_that_masks_nothing_is_none(give):
    masked = np.ma.masked_array(BYTES, BYTES == 255)
    with pytest.raises(ValueError, match="`x` must be an array without masked values"):
        give(masked)
    give(np.ma.masked_array(BYTES, np.zeros(BYTES.shape, bool)))


class Batches(keras.utils.PyDataset):
    def __init__(self, *batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.batch


def test_masked_values_in_lists_and_batches_are_refused():
    masked, plain = np.ma.masked_array(BYTES, BYTES == 255), np.arange(40) % 2
    labels = np.ma.masked_array(plain, plain == 1)
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    kertl.model.describe(model, class_names=["0", "1"], preprocessing="none")
    calls = [
        lambda: kertl.data.from_arrays(list(masked), plain),
        lambda: kertl.data.from_dataset(Batches(list(masked), plain)),
        lambda: kertl.evaluate(model, Batches(masked, plain)),
        lambda: kertl.evaluate(model, Batches(BYTES, labels)),
        lambda: kertl.predict(model, Batches(masked, plain)),
        lambda: kertl.extract(model, masked, at="deep"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="must be an array without masked values"):
            call()


def test_masked_labels_are_refused():
    labels = np.ma.masked_array(np.arange(40) % 2, np.arange(40) == 3)
    with pytest.raises(ValueError, match="`y` must be an array without masked values"):
        kertl.data.from_arrays(BYTES, labels)


@pytest.mark.parametrize("give", [kertl.data.from_arrays, lambda x, y: kertl.data.from_dataset((x, y))])
def test_images_of_different_sizes_are_no_array(give):
    with pytest.raises(DataError, match="Received: images of different sizes"):
        give([*BYTES[:39], BYTES[39, :2]], np.arange(40) % 2)
