import numpy as np
import pytest

import kertl
from kertl.errors import DataError
from kertl.studies._folds import deal, folds_of, refuse_rare
from tests.messages import assert_names

NAMES = ["a", "b"]


def test_every_fold_has_its_share_of_every_class():
    labels = np.repeat([0, 1], [50, 20])
    folds = deal(labels, range(70), 5, 0)
    for fold in range(5):
        assert np.bincount(labels[folds == fold]).tolist() == [10, 4]


def test_what_belongs_together_is_in_one_fold_and_classes_stay_even():
    random = np.random.default_rng(0)
    together = random.integers(0, 40, 200)
    labels = (together % 2 == 0).astype(int)
    folds = deal(labels, together, 4, 0)
    assert all(len(set(folds[together == number])) == 1 for number in set(together))
    for fold in range(4):
        assert abs(labels[folds == fold].mean() - labels.mean()) < 0.1
        assert abs(np.mean(folds == fold) - 0.25) < 0.1


def test_folds_follow_the_seed():
    labels = np.arange(60) % 2
    first, again, other = (deal(labels, range(60), 3, seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("together", [range(13), [*range(10), 20, 20, 30]], ids=["images", "groups"])
def test_too_few_images_of_a_class_are_an_error(together):
    labels = np.repeat([0, 1], [10, 3])
    count = len(set(list(together)[10:]))
    with pytest.raises(DataError) as caught:
        refuse_rare(labels[:, None] == [0, 1], together, 4, NAMES)
    assert_names(caught.value, "'b'", "4 folds", count)


def data(labels, task):
    pictures = np.random.default_rng(5).integers(0, 255, (len(labels), 8, 8, 3), dtype="uint8")
    return kertl.data.from_arrays(pictures, labels, task=task, validation=0.25, test=0)


def test_every_fold_has_its_share_of_every_label_and_of_images_without_any():
    random = np.random.default_rng(2)
    labels, fold_of = folds_of(data(random.random((120, 3)) < (0.5, 0.2, 0.08), "multi_label"), 4, 0)
    assert labels.shape == (120, 3)
    counts = np.array(
        [[*labels[fold_of == fold].sum(axis=0), (~labels[fold_of == fold].any(axis=1)).sum()] for fold in range(4)]
    )
    assert (counts.max(axis=0) - counts.min(axis=0) <= 2).all()
    assert (counts[:, :3] > 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_folds_of_several_labels_are_of_one_size_and_labels_stay_even(seed):
    """Two of eight labels each: assigned label by label alone, folds of 102 images differ by up to 4."""
    random = np.random.default_rng(seed)
    chosen = [random.choice(8, 2, replace=False) for _ in range(102)]
    labels, fold_of = folds_of(data(np.array([np.isin(range(8), pair) for pair in chosen]), "multi_label"), 3, seed)
    assert np.bincount(fold_of).tolist() == [34, 34, 34]
    counts = np.array([labels[fold_of == fold].sum(axis=0) for fold in range(3)])
    assert (np.ptp(counts, axis=0) <= 5).all()
    assert np.ptp(counts, axis=0).mean() < 2


def test_small_and_large_targets_are_divided_evenly():
    targets, fold_of = folds_of(data(np.random.default_rng(2).exponential(size=(150, 1)), "regression"), 5, 0)
    assert np.bincount(fold_of).tolist() == [30] * 5
    lower = [np.median(targets[fold_of == fold]) for fold in range(5)]
    assert max(lower) - min(lower) < 0.15


def test_fewer_images_with_targets_than_folds_are_an_error():
    with pytest.raises(DataError) as caught:
        folds_of(data([1.0, 2.0, 3.0, 4.0], "regression"), 5, 0)
    assert_names(caught.value, "5 folds", "4")
