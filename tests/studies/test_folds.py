import numpy as np
import pytest

from kertl.errors import DataError
from kertl.studies._folds import deal
from tests.messages import assert_names

NAMES = ["a", "b"]


def test_every_fold_has_its_share_of_every_class():
    labels = np.repeat([0, 1], [50, 20])
    folds = deal(labels, range(70), 5, 0, NAMES)
    for fold in range(5):
        assert np.bincount(labels[folds == fold]).tolist() == [10, 4]


def test_what_belongs_together_is_in_one_fold_and_classes_stay_even():
    random = np.random.default_rng(0)
    together = random.integers(0, 40, 200)
    labels = (together % 2 == 0).astype(int)
    folds = deal(labels, together, 4, 0, NAMES)
    assert all(len(set(folds[together == number])) == 1 for number in set(together))
    for fold in range(4):
        assert abs(labels[folds == fold].mean() - labels.mean()) < 0.1
        assert abs(np.mean(folds == fold) - 0.25) < 0.1


def test_folds_follow_the_seed():
    labels = np.arange(60) % 2
    first, again, other = (deal(labels, range(60), 3, seed, NAMES) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("together", [range(13), [*range(10), 20, 20, 30]], ids=["images", "groups"])
def test_too_few_images_of_a_class_are_an_error(together):
    labels = np.repeat([0, 1], [10, 3])
    count = len(set(list(together)[10:]))
    with pytest.raises(DataError) as caught:
        deal(labels, together, 4, 0, NAMES)
    assert_names(caught.value, "'b'", "4 folds", count)
