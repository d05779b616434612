import numpy as np
import pytest

import kertl
from tests.evaluation.told import told

NAMES = ["cat", "dog", "eel"]


def test_answers_are_put_into_the_words_of_each_task():
    single = told("single_label", np.zeros((1, 3)), NAMES)
    assert kertl.answers(single, np.array([[0.25, 0.5, 0.25]]), top=2) == [
        {"classes": [{"class": "dog", "probability": 0.5}, {"class": "cat", "probability": 0.25}]}
    ]
    binary = told("binary", np.zeros((1, 1)), ["no", "yes"], (0.25,))
    assert kertl.answers(binary, np.array([[0.25], [0.125]])) == [
        {"label": "yes", "positive": "yes", "probability": 0.25},
        {"label": "no", "positive": "yes", "probability": 0.125},
    ]
    several = told("multi_label", np.zeros((1, 3)), NAMES, (0.5, 0.25, 0.75))
    assert kertl.answers(several, np.array([[0.5, 0.75, 0.5], [0.25, 0.125, 0.5]])) == [
        {"labels": [{"class": "dog", "probability": 0.75}, {"class": "cat", "probability": 0.5}]},
        {"labels": []},
    ]
    targets = told("regression", np.zeros((1, 2)), ["x", "y"])
    assert kertl.answers(targets, np.array([[1.5, -2.0]])) == [{"targets": {"x": 1.5, "y": -2.0}}]


def test_outputs_without_names_are_numbered():
    model = told("multi_label", np.zeros((1, 2)), [])
    assert kertl.answers(model, np.array([[0.75, 0.25]])) == [{"labels": [{"class": "0", "probability": 0.75}]}]


@pytest.mark.parametrize("top", [0, -1, 1.5])
def test_no_fewer_than_one_class_is_named(top):
    with pytest.raises(ValueError, match=r"`top` must be a whole number >= 1"):
        kertl.answers(told("single_label", np.zeros((1, 3)), NAMES), np.zeros((1, 3)), top=top)
