from collections import Counter

import numpy as np
import pytest

from kertl.data._split import assign, assign_many, bundle
from kertl.errors import DataError
from kertl.tasks._regression import quantile_bins
from tests.messages import assert_names

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
    assert_names(raised.value, "'rare'", "train, validation, test", "its 2", "for test", "`validation`", "`test`")


def test_a_class_that_is_given_no_training_image_is_an_error():
    with pytest.raises(DataError) as raised:
        deal(["a", "b"], given=["train", "test"])
    assert_names(raised.value, "'b'", "its 1", "for train")


def test_a_fraction_of_zero_leaves_a_part_empty():
    assert set(deal(["a"], fractions={"train": 1.0, "validation": 0.0, "test": 0.0})) == {"train"}


def test_images_are_bundled_through_others():
    assert bundle(["1", "2", "3", "4", "1"], ["", "x", "x", "", "x"]) == [0, 0, 0, 3, 0]


def deal_many(labels, *, bundles=None, given=None, strata=None, fractions=FRACTIONS, seed=0):
    size = len(labels)
    return assign_many(labels, bundles or range(size), given or [""] * size, strata or [()] * size, fractions, seed)


def tagged(size=600, seed=0):
    """Labels of which some are rare and some come together."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(size):
        names = {
            name for name, chance in (("a", 0.6), ("b", 0.2), ("c", 0.05), ("d", 0.02)) if random.random() < chance
        }
        rows.append(tuple(sorted(names | ({"e"} if "c" in names and random.random() < 0.7 else set()))))
    return rows


def shares(labels, parts):
    """Share of each label's images that went to each part."""
    totals = Counter(name for names in labels for name in names)
    counts = Counter((name, part) for names, part in zip(labels, parts, strict=True) for name in names)
    return {(name, part): counts[name, part] / totals[name] for name in totals for part in FRACTIONS}, totals


def test_every_label_of_many_is_divided_by_the_fractions_however_rare():
    for seed in range(5):
        labels = tagged(seed=seed)
        parts = deal_many(labels, seed=seed)
        found, totals = shares(labels, parts)
        for (name, part), share in found.items():
            assert abs(share - FRACTIONS[part]) * totals[name] <= 1.5
        for part, fraction in FRACTIONS.items():
            assert abs(parts.count(part) - 600 * fraction) <= 3


def test_labels_that_exclude_each_other_are_divided_as_the_paper_does():
    # With one label for each image the algorithm of the paper deals every label by its fractions, to within one.
    labels = [("a",)] * 100 + [("b",)] * 33 + [("c",)] * 8
    counts = Counter(zip((name for (name,) in labels), deal_many(labels), strict=True))
    for name, size in (("a", 100), ("b", 33), ("c", 8)):
        for part, fraction in FRACTIONS.items():
            assert abs(counts[name, part] - size * fraction) < 1


def test_a_label_of_three_images_is_in_every_part():
    labels = [("a",)] * 40 + [("a", "rare")] * 3
    for seed in range(10):
        parts = deal_many(labels, seed=seed)
        assert sorted(parts[40:]) == ["test", "train", "validation"]


def test_a_label_too_rare_for_the_split_is_an_error():
    with pytest.raises(DataError) as raised:
        deal_many([("a",)] * 20 + [("a", "rare")] * 2)
    assert_names(raised.value, "'rare'", "train, validation, test", "its 2", "for validation and test")


def test_bundles_of_many_labels_are_on_one_side_and_given_parts_are_kept():
    labels = tagged(400)
    bundles = np.random.default_rng(0).integers(0, 120, 400).tolist()
    given = ["test" if number < 6 else "" for number in bundles]
    parts = deal_many(labels, bundles=bundles, given=given)
    assert len(set(zip(bundles, parts, strict=True))) == len(set(bundles))
    assert all(part == "test" for part, number in zip(parts, bundles, strict=True) if number < 6)
    found, totals = shares(labels, deal_many(labels, bundles=bundles))
    for (name, part), share in found.items():
        assert abs(share - FRACTIONS[part]) < 0.05 + 3 / totals[name]


def test_the_order_of_files_does_not_matter_but_the_seed_does_for_many_labels():
    labels = tagged(100)
    assert deal_many(labels) == deal_many(labels)
    assert deal_many(labels) != deal_many(labels, seed=1)


def test_strata_are_divided_like_labels_unless_too_small():
    labels = [("a",), ()] * 150
    strata = [(str(k // 2 % 3),) for k in range(300)]
    counts = Counter(zip(strata, deal_many(labels, strata=strata), strict=True))
    for stratum in set(strata):
        for part, fraction in FRACTIONS.items():
            assert abs(counts[stratum, part] - 100 * fraction) <= 1
    alone = Counter(deal_many([()] * 100, strata=[(str(k),) for k in range(100)]))
    assert alone == {"train": 70, "validation": 15, "test": 15}


def test_quantile_bins_spread_small_and_large_numbers_alike():
    values = np.random.default_rng(0).lognormal(sigma=2, size=(400, 1))
    differences = []
    for seed in range(5):
        parts = np.array(deal_many([()] * 400, strata=quantile_bins(values), seed=seed))
        for part, fraction in FRACTIONS.items():
            assert abs((parts == part).sum() - 400 * fraction) <= 6
            ranks = values[:, 0].argsort().argsort()[parts == part]
            differences.append(abs(ranks.mean() - 199.5))
    # At random the mean rank of 60 images strays by 115 / sqrt(60) = 15.
    assert max(differences) < 6


def test_equal_numbers_are_in_one_bin():
    assert len(set(quantile_bins(np.array([[1.0]] * 90 + [[2.0]] * 10)))) == 2
    assert len(set(quantile_bins(np.ones((50, 1))))) == 1


def test_too_few_images_for_the_parts_are_an_error():
    with pytest.raises(DataError) as raised:
        deal_many([()] * 2)
    assert_names(raised.value, "train, validation, test", "2", "for validation and test")
    assert_names(raised.value, "`validation`", "`test`")


def test_three_images_without_labels_are_one_in_each_part():
    assert Counter(deal_many([()] * 3)) == {"train": 1, "validation": 1, "test": 1}


@pytest.mark.parametrize(
    ("train", "test", "named"),
    [
        ("cats", "cat", ("'cat'", "Did you mean 'cats'")),
        ("Cat", "cat", ("'cat'", "Did you mean 'Cat'", "not 'cat'")),
        ("cat", "cat ", ("'cat '", "Did you mean 'cat'", "not 'cat '")),
        ("caf\u00e9", "cafe\u0301", (r"Did you mean 'caf\xe9'", r"not 'cafe\u0301'")),
    ],
)
def test_a_class_of_another_name_in_the_test_set_names_its_near_twin(train, test, named):
    labels, given = [train, "dog", test, "dog"] * 3, ["train", "train", "test", "test"] * 3
    with pytest.raises(DataError) as raised:
        deal(labels, given=given)
    assert_names(raised.value, "train", *named)
    # a class that is in the same parts is no twin
    with pytest.raises(DataError) as raised:
        deal(["class_1"] * 9 + ["class_2"], fractions={"train": 0.5, "validation": 0, "test": 0.5})
    assert "Did you mean" not in str(raised.value)
