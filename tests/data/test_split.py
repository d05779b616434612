from collections import Counter

import numpy as np
import pytest

from kertl.data._split import assign, bundle
from kertl.errors import DataError

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def deal(labels, *, bundles=None, given=None, strata=None, fractions=FRACTIONS, seed=0):
    size = len(labels)
    return assign(labels, bundles or range(size), given or [""] * size, strata or [()] * size, fractions, seed)


def test_every_class_is_divided_by_the_fractions_to_within_one():
    labels = ["a"] * 100 + ["b"] * 33 + ["c"] * 8
    parts = deal(labels)
    counts = Counter(zip(labels, parts, strict=True))
    for label, size in Counter(labels).items():
        for part, fraction in FRACTIONS.items():
            assert abs(counts[label, part] - size * fraction) < 1


def test_strata_are_divided_by_the_fractions_like_the_classes():
    labels = ["a", "b"] * 300
    strata = [(str(k % 3), str(k % 5)) for k in range(600)]
    counts = Counter(zip(labels, strata, deal(labels, strata=strata), strict=True))
    for (label, stratum), size in Counter(zip(labels, strata, strict=True)).items():
        for part, fraction in FRACTIONS.items():
            assert abs(counts[label, stratum, part] - size * fraction) <= 1


def test_strata_of_one_image_leave_the_classes_divided_by_the_fractions():
    labels = ["a"] * 40 + ["b"] * 60
    counts = Counter(zip(labels, deal(labels, strata=[(str(k),) for k in range(100)]), strict=True))
    assert [counts[label, part] for label in "ab" for part in FRACTIONS] == [28, 6, 6, 42, 9, 9]


def test_the_seed_decides_and_the_same_seed_decides_alike():
    labels = ["a"] * 50
    assert deal(labels) == deal(labels)
    assert deal(labels) != deal(labels, seed=1)


def test_a_bundle_is_on_one_side():
    rng = np.random.default_rng(0)
    bundles = rng.integers(0, 60, 400).tolist()
    labels = rng.choice(["a", "b", "c"], 400).tolist()
    parts = deal(labels, bundles=bundles)
    assert len(set(zip(bundles, parts, strict=True))) == len(set(bundles))
    counts = Counter(zip(labels, parts, strict=True))
    for label, size in Counter(labels).items():
        for part, fraction in FRACTIONS.items():
            assert abs(counts[label, part] / size - fraction) < 0.04


def test_given_parts_are_kept_and_the_rest_of_a_bundle_follows():
    parts = deal(["a"] * 20, bundles=[0, 0, *range(2, 20)], given=["test", *[""] * 19])
    assert parts[:2] == ["test", "test"]
    assert Counter(parts[2:]) == {"train": 12, "validation": 3, "test": 3}


def test_a_class_of_three_has_an_image_in_every_part():
    assert Counter(deal(["a"] * 3)) == {"train": 1, "validation": 1, "test": 1}


def test_a_class_too_small_for_the_split_is_an_error():
    with pytest.raises(DataError) as raised:
        deal(["a"] * 20 + ["rare"] * 2)
    assert str(raised.value) == (
        "Class 'rare' needs an image in each of train, validation, test, and of its 2 none is left for test. "
        "Equal images and those of one group stay together. "
        "Add images of the class, remove it, or set `validation` or `test` to 0."
    )


def test_a_class_that_is_given_no_training_image_is_an_error():
    with pytest.raises(DataError) as raised:
        deal(["a", "b"], given=["train", "test"])
    assert str(raised.value) == (
        "Class 'b' needs an image in each of train, and of its 1 none is left for train. "
        "Equal images and those of one group stay together. "
        "Add images of the class, remove it, or set `validation` or `test` to 0."
    )


def test_a_fraction_of_zero_leaves_a_part_empty():
    assert set(deal(["a"], fractions={"train": 1.0, "validation": 0.0, "test": 0.0})) == {"train"}


def test_images_are_bundled_through_others():
    assert bundle(["1", "2", "3", "4", "1"], ["", "x", "x", "", "x"]) == [0, 0, 0, 3, 0]
