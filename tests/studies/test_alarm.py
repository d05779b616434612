import numpy as np
import pytest

import kertl
from kertl.studies import Alarm, alarm
from kertl.studies._two_samples import mmd_test
from tests.families import small_backbone
from tests.messages import assert_names


@pytest.fixture(scope="module")
def model():
    return small_backbone()


def noise(count, seed, brighter=0):
    return np.random.default_rng(seed).integers(brighter, 200 + brighter, (count, 32, 32, 3), dtype="uint8")


def test_alarm_is_raised_for_brighter_images_and_names_the_farthest(model):
    found = alarm(model, noise(40, 0), noise(30, 1, 55))
    assert found.raised
    assert found.images == (40, 30)
    assert_names(found.table(), "Shift", "p = 0.001", found.farthest[0].file)
    assert Alarm.from_json(found.to_json()) == found


def test_alarm_is_not_raised_for_images_of_the_same_kind(model):
    found = alarm(model, noise(40, 0), noise(30, 3))
    assert not found.raised
    assert "No shift is seen" in found.table()


def test_false_alarms_on_splits_of_one_domain_are_as_many_as_the_level_says():
    rows = np.random.default_rng(0).gamma(2.0, size=(300, 8))
    random = np.random.default_rng(1)
    found = []
    for _ in range(200):
        order = random.permutation(300)
        found.append(mmd_test(rows[order[:60]], rows[order[60:100]], random, 99)[1])
    assert np.mean(np.array(found) <= 0.05) <= 0.1


def test_few_images_and_a_level_out_of_range_are_refused(model):
    with pytest.raises(kertl.errors.DataError) as raised:
        alarm(model, noise(40, 0), noise(3, 1))
    assert_names(raised, "`images`", "at least 10 images", "Received: 3")
    with pytest.raises(ValueError, match="`level` must be a number"):
        alarm(model, noise(40, 0), noise(30, 1), level=0.0)
