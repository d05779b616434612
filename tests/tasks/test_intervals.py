import numpy as np
import pytest
from scipy import stats

from kertl.tasks import change_interval, matched_interval, mean_interval


@pytest.mark.parametrize(("right", "images"), [(0, 5), (90, 100), (656, 656), (1, 2)])
def test_the_interval_of_an_accuracy_is_wilsons(right, images):
    scores = np.repeat([1, 0], [right, images - right])
    expected = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(mean_interval(scores), (expected.low, expected.high), atol=1e-6)


def test_the_interval_of_a_mean_of_other_numbers_is_normal():
    scores = np.random.default_rng(0).normal(3, 2, 400)
    low, high = mean_interval(scores)
    assert (low + high) / 2 == pytest.approx(scores.mean())
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / 20, rel=1e-3)


def test_a_change_on_the_same_images_is_surer_than_two_accuracies():
    before = np.repeat([1, 0], [80, 20])
    after = before.copy()
    after[:6] = 0
    assert change_interval(before, after) == matched_interval(6, 0, 100)
    low, high = change_interval(before, after)
    assert low < -0.06 < high < 0
    assert high - low < np.diff(mean_interval(before))[0]


def test_changes_of_numbers_are_judged_by_their_own_deviation():
    before = np.random.default_rng(0).normal(3, 2, 400)
    low, high = change_interval(before, before + 0.1)
    assert (low, high) == pytest.approx((0.1, 0.1))
