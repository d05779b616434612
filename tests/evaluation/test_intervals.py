import numpy as np
import pytest
from scipy import stats

from kertl.evaluation._intervals import intervals_of
from kertl.tasks import TASKS

NAMES = ["a", "b"]


def judged(task, right, images):
    """The intervals of predictions of which so many are right."""
    truth = np.arange(images) % 2
    said = np.where(np.arange(images) < right, truth, 1 - truth)
    if task == "binary":
        predictions, labels = said[:, None].astype(float), truth
    else:
        predictions = np.stack([1 - said, said], axis=1).astype(float)
        labels = truth if task == "single_label" else np.stack([1 - truth, truth], axis=1)
    return intervals_of(TASKS[task], labels, predictions, NAMES, np.full(predictions.shape[1], 0.5))


TASKS_AND_SHARES = [("single_label", "accuracy"), ("binary", "accuracy"), ("multi_label", "exact")]


@pytest.mark.parametrize(("task", "share"), TASKS_AND_SHARES)
@pytest.mark.parametrize(("right", "images"), [(8, 8), (0, 8), (36, 40)])
def test_a_share_of_the_images_has_wilsons_interval(task, share, right, images):
    found = judged(task, right, images)[share]
    expected = stats.binomtest(right, images).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(found, (expected.low, expected.high), atol=1e-6)


def test_no_interval_pretends_that_a_few_images_settle_a_metric():
    found = judged("single_label", 8, 8)
    assert list(found) == ["accuracy"]
    assert all(low < high for low, high in judged("single_label", 6, 8).values())


def test_other_metrics_have_the_percentiles_of_drawn_sets():
    low, high = judged("single_label", 36, 40)["balanced_accuracy"]
    assert low < 0.9 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.9 * 0.1 / 40), rel=0.25)
