import logging
from types import SimpleNamespace

import numpy as np
import pytest

import kertl
from kertl.errors import DataError
from kertl.studies._folds import absent_classes, deal, folds_of, refuse_rare
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


def grouped(labels, together, task="single_label"):
    """What `folds_of` reads of a data set, all of it in the training set."""
    records = [SimpleNamespace(split="train")] * len(labels)
    names = [*"abcd"[: int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1]]]
    part = SimpleNamespace(labels=labels)
    return SimpleNamespace(
        train=part,
        validation=None,
        task=task,
        together=together,
        records=records,
        num_classes=len(names),
        class_names=names,
    )


PATIENTS = np.array([1, 0, 1, 0, 0, 0, 1, 1]), [0, 0, 0, 0, 0, 1, 2, 2]


def test_groups_are_divided_so_that_no_training_lacks_a_class_where_that_can_be():
    """The division by scikit-learn has the two images of class 0 and 1 apart: one fold has class 1 alone."""
    labels, together = PATIENTS
    plain = deal(labels, together, 2, 0)
    assert any(len(set(labels[plain == fold])) == 1 for fold in range(2))
    for seed in range(5):
        _, fold_of = folds_of(grouped(labels, together), 2, seed)
        assert {frozenset(labels[fold_of == fold]) for fold in range(2)} == {frozenset((0, 1))}


def test_a_training_without_a_class_is_refused():
    """Each of two trainings needs three labels of which every pair is on one image: there is no division."""
    labels = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0]])
    with pytest.raises(DataError) as caught:
        folds_of(grouped(labels, range(4), "multi_label"), 2, 0)
    assert_names(caught.value, "Class 'c'", "2 folds", "Add images of the class", "or remove it.")


def test_a_fold_without_a_class_is_a_warning_that_names_both(caplog):
    """Of four images in three folds two are alone, and only one image has all labels."""
    labels = np.array([[1, 0, 1], [1, 1, 0], [1, 1, 1], [0, 1, 1]])
    with caplog.at_level(logging.WARNING, "kertl"):
        _, fold_of = folds_of(grouped(labels, range(4), "multi_label"), 3, 0)
    (absent,) = ((fold, k) for fold in range(3) for k in range(3) if not labels[fold_of == fold, k].any())
    assert f"fold {absent[0] + 1} has no image of '{'abc'[absent[1]]}'." in caplog.text
    assert absent_classes(labels > 0, fold_of, "abc") in caplog.text


def test_whatever_the_groups_no_training_lacks_a_class_and_what_was_sound_stays_as_it_was(caplog):
    random = np.random.default_rng(0)
    mended = 0
    for _ in range(250):
        classes, folds = random.integers(2, 4, 2)
        labels = random.integers(0, classes, random.integers(6, 25))
        together = random.integers(0, 8, len(labels)).tolist()
        caplog.clear()
        try:
            _, fold_of = folds_of(grouped(labels, together), int(folds), 0)
        except DataError:
            continue
        assert all(set(labels[fold_of != fold]) == set(labels) for fold in range(folds))
        plain = deal(labels, together, int(folds), 0)
        sound, was_sound = (
            all(set(labels[one == fold]) == set(labels) for fold in range(folds)) for one in (fold_of, plain)
        )
        assert fold_of.tolist() == plain.tolist() or not was_sound
        assert sound != bool(caplog.records)
        mended += sound and not was_sound
    assert mended > 10
