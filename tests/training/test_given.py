"""What a stage is given to train on."""

import numpy as np
import pytest

import kertl
from kertl.data import joined
from kertl.training import Given
from tests.runs import squares


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), dtype="uint8")
    return kertl.data.from_arrays(x, [0] * 30 + [1] * 10, validation=0.25, test=0, batch_size=8)


@pytest.mark.parametrize("changes", [{}, {"batch_size": 4}, {"image_size": (64, 64)}])
def test_rare_classes_are_drawn_as_often_whatever_else_the_stage_asks_for(data, changes):
    train = Given(data).in_stage(kertl.Stage("deep", oversample=True, **changes)).data.train
    counts = np.bincount(np.asarray(train.labels)[train.order(0)].astype(int).ravel())
    assert counts[0] == counts[1]
    assert train.batch_size == changes.get("batch_size", 8)


def test_a_fold_only_judges(data):
    images = joined([data.train, data.validation])
    fold_of = np.arange(images.num_examples) % 4
    given = Given.fold(data, images, fold_of, 1, seed=5)
    assert Given(data).monitor == "val_loss"
    assert given.monitor == "loss"
    assert given.data.test is None
    assert not set(given.data.train.files) & set(given.data.validation.files)
    assert sorted([*given.data.train.files, *given.data.validation.files]) == sorted(images.files)
    np.testing.assert_array_equal(np.asarray(given.data.train.labels), np.asarray(images.labels)[given.rows])
    assert given.data.train.seed == 5


def test_without_a_validation_set_the_training_loss_chooses():
    assert Given(squares(validation=0)).monitor == "loss"
