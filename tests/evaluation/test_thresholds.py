import numpy as np
import pytest

import kertl
from kertl.evaluation._thresholds import best_threshold
from tests.evaluation.told import task_data, told

NAMES = ["cat", "dog", "eel"]


def best_f1(truth, probabilities):
    """The highest F1 of all thresholds, found by trying every one."""
    scores = []
    for level in np.linspace(0, 1, 4001):
        guesses = probabilities >= level
        hits = (guesses & truth).sum()
        scores.append(2 * hits / (guesses.sum() + truth.sum()))
    return max(scores)


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_have_the_best_f1_of_the_validation_part(seed):
    random = np.random.default_rng(seed)
    y = random.random((60, 3)) < [0.5, 0.3, 0.15]
    y[:4] = True
    rows = np.round(np.clip(random.normal(0.3 + 0.3 * y, 0.2), 0.01, 0.99), 2)
    data = task_data("multi_label", y, validation=0.5, test=0.2, class_names=NAMES)
    model = told("multi_label", rows, NAMES)
    chosen = kertl.tune_thresholds(model, data)
    assert model.asked == [data.validation.files]
    truth = data.validation.labels > 0
    said = model.rows[[int(file.removeprefix("array:")) for file in data.validation.files]]
    found = kertl.evaluate(model, data.validation)
    for k, name in enumerate(NAMES):
        assert found["classes"][name]["f1"] == pytest.approx(best_f1(truth[:, k], said[:, k]))
    assert found["thresholds"] == chosen
    assert kertl.model.model_info(model).thresholds == tuple(chosen.values())


def test_of_equally_good_thresholds_the_one_nearest_to_one_half_is_taken():
    # F1 is 2/3 both for the first alone and for all four; (0 + 0.4) / 2 is nearer to 0.5 than (0.95 + 0.9) / 2.
    found = best_threshold(np.array([True, False, False, True]), np.array([0.95, 0.9, 0.85, 0.4]))
    assert found == pytest.approx(0.2)


def test_a_label_without_a_positive_image_in_the_validation_part_keeps_one_half():
    assert best_threshold(np.array([False, False]), np.array([0.2, 0.9])) == 0.5


def test_thresholds_want_a_task_that_has_them_and_a_validation_part():
    with pytest.raises(ValueError, match=r"`model` must be .*'binary' or 'multi_label'.*'regression'"):
        kertl.tune_thresholds(told("regression", np.zeros((4, 1)), ["x"]), task_data("regression", [1.0, 2, 3, 4]))
    with pytest.raises(ValueError, match=r"`data` must be .*validation"):
        kertl.tune_thresholds(told("binary", np.zeros((4, 1)), ["a", "b"]), task_data("binary", [0, 1, 0, 1]))
