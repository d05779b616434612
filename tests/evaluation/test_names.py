import logging

import numpy as np
import pytest

import kertl
from kertl.errors import DataError
from kertl.model import model_info
from tests.evaluation.told import task_data, told
from tests.messages import assert_names

NAMES = ["cat", "dog", "eel"]
IDS = np.array([0, 0, 1, 1, 2, 2])
SURE = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0]])


def single(order):
    """Data with the classes in another order, and what the model says of the images, which is in its own."""
    return told("single_label", SURE, NAMES), [NAMES[k] for k in IDS], order


@pytest.mark.parametrize("order", [NAMES, ["eel", "cat", "dog"], ["dog", "eel", "cat"]])
def test_one_class_of_several_is_matched_by_name(order):
    model, y, names = single(order)
    found = kertl.evaluate(model, task_data("single_label", y, class_names=names).train)
    assert found["accuracy"] == pytest.approx(5 / 6)
    assert list(found["classes"]) == NAMES
    assert found["confusion"] == [[2, 0, 0], [1, 1, 0], [0, 0, 2]]
    assert found["missing_classes"] == []


@pytest.mark.parametrize("order", [["no", "yes"], ["yes", "no"]])
@pytest.mark.parametrize("task", ["binary", "single_label"])
def test_yes_and_no_are_matched_by_name(order, task):
    truth = ["yes", "no", "yes", "no"]
    model = told("binary", [[0.9], [0.2], [0.6], [0.7]], ["no", "yes"])
    found = kertl.evaluate(model, task_data(task, truth, class_names=order).train)
    assert found["confusion"] == [[1, 1], [0, 2]]
    assert found["auc"] == pytest.approx(3 / 4)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_several_labels_are_matched_by_name(order):
    truth = np.stack([IDS == 0, IDS < 2, IDS > 0], axis=1).astype(int)
    data = task_data("multi_label", truth[:, order], class_names=[NAMES[k] for k in order])
    model = told("multi_label", truth * 0.8 + 0.1, NAMES)
    found = kertl.evaluate(model, data.train)
    assert (found["exact"], list(found["classes"])) == (1.0, NAMES)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_targets_are_matched_by_name(order):
    truth = np.array([[1.0, 100], [2, 300], [3, 200], [4, 700]])
    data = task_data("regression", truth[:, order], class_names=[["x", "y"][k] for k in order])
    found = kertl.evaluate(told("regression", truth + np.array([0.5, 50]), ["x", "y"]), data.train)
    assert found["targets"]["x"]["mae"] == pytest.approx(0.5)
    assert found["targets"]["y"]["mae"] == pytest.approx(50)
    assert found["r2"] > 0.7


def test_a_test_set_that_lacks_a_class_is_judged_and_says_so(caplog):
    rows = np.flatnonzero(IDS != 1)
    y = [NAMES[k] for k in IDS[rows]]
    with caplog.at_level(logging.WARNING):
        found = kertl.evaluate(told("single_label", SURE[rows], NAMES), task_data("single_label", y).train)
    assert found["missing_classes"] == ["dog"]
    assert_names(caplog.text, "'dog'")
    assert found["accuracy"] == found["balanced_accuracy"] == 1.0
    only = kertl.evaluate(told("binary", [[0.9], [0.4]], ["no", "yes"]), task_data("single_label", ["yes"] * 2).train)
    assert (only["missing_classes"], only["accuracy"], only["auc"]) == (["no"], 0.5, None)
    labels = task_data("multi_label", np.eye(2)[[0, 1, 0]], class_names=["cat", "eel"])
    three = kertl.evaluate(told("multi_label", np.eye(3)[[0, 2, 0]], NAMES), labels.train)
    assert (three["missing_classes"], three["exact"], three["macro_f1"]) == (["dog"], 1.0, 1.0)


@pytest.mark.parametrize(
    ("task", "y", "names", "words"),
    [
        ("single_label", ["cat", "fox"], None, r"among \['cat', 'dog', 'eel'\]\. Received: \['fox'\]"),
        ("multi_label", np.eye(2), ["cat", "fox"], r"among .*Received: \['fox'\]"),
        ("single_label", ["cats", "dog"], None, r"Received: \['cats'\]\. Did you mean 'cat'\?"),
        ("single_label", ["Cat", "dog"], None, r"Did you mean 'cat'\? It is not 'Cat'\."),
        ("single_label", ["cat ", "dog"], None, r"Did you mean 'cat'\? It is not 'cat '\."),
        ("regression", np.eye(2), ["cat", "dog"], r"targets .* all of .*Received: \['cat', 'dog'\]"),
    ],
)
def test_a_class_that_the_model_does_not_know_is_an_error(task, y, names, words):
    model = told(task, np.zeros((2, 3)), NAMES)
    for call in (kertl.evaluate, lambda model, part: kertl.evaluate(model, part, predictions=np.zeros((2, 3)))):
        with pytest.raises(DataError, match=words):
            call(model, task_data(task, y, class_names=names).train)


def test_a_binary_model_does_not_judge_other_classes():
    with pytest.raises(DataError, match=r"Received: \['maybe'\]"):
        kertl.evaluate(told("binary", np.zeros((2, 1)), ["no", "yes"]), task_data("binary", ["yes", "maybe"]).train)


def test_a_model_without_names_takes_the_classes_of_the_data_if_there_are_as_many():
    y = [NAMES[k] for k in IDS]
    assert kertl.evaluate(told("single_label", SURE, []), task_data("single_label", y).train)["accuracy"] > 0.8
    with pytest.raises(ValueError, match=r"one output per class .*with 3 outputs.*class_names="):
        kertl.evaluate(told("single_label", SURE, []), task_data("single_label", ["cat", "dog"]).train)


@pytest.mark.parametrize("order", [["no", "yes"], ["yes", "no"]])
def test_the_threshold_of_a_yes_or_no_question_is_the_same_in_every_order_of_the_classes(order):
    truth = ["no", "yes"] * 10
    sure = np.array([[0.3], [0.5]] * 10) + np.arange(20)[:, None] / 100
    data = task_data("binary", truth, class_names=order, validation=0.5)
    model = told("binary", sure, ["no", "yes"])
    chosen = kertl.tune_thresholds(model, data)
    assert list(chosen) == ["yes"]
    assert 0.3 < chosen["yes"] < 0.53
    assert model_info(model).thresholds == (chosen["yes"],)
    assert kertl.evaluate(model, data, part="validation")["f1"] == 1.0


def test_thresholds_of_several_labels_belong_to_the_names():
    truth = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 5)
    sure = np.stack([0.2 + 0.1 * truth[:, 0], 0.6 + 0.3 * truth[:, 1]], axis=1)
    model = told("multi_label", sure, ["cat", "dog"])
    data = task_data("multi_label", truth[:, ::-1], class_names=["dog", "cat"], validation=0.5)
    chosen = kertl.tune_thresholds(model, data)
    assert list(chosen) == ["cat", "dog"]
    assert 0.2 < chosen["cat"] < 0.3 + 1e-6 < 0.6 < chosen["dog"] < 0.9 + 1e-6


def test_thresholds_are_not_chosen_on_classes_that_the_model_does_not_know():
    data = task_data("multi_label", np.eye(2)[[0, 1] * 10], class_names=["cat", "fox"], validation=0.5)
    model = told("multi_label", np.zeros((20, 2)), ["cat", "dog"])
    with pytest.raises(DataError, match=r"Received: \['fox'\]"):
        kertl.tune_thresholds(model, data)
    assert model_info(model).thresholds == ()


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("single_label", IDS),
        ("single_label", IDS.astype("float32")),
        ("single_label", np.eye(3)[IDS]),
        ("single_label", [NAMES[k] for k in IDS]),
        ("multi_label", np.eye(3)[IDS]),
        ("regression", np.eye(3)[IDS]),
    ],
)
def test_labels_in_arrays_are_counted_by_the_outputs_of_the_model(task, labels):
    x = np.zeros((6, 4, 4, 3), np.uint8)
    said = np.eye(3)[IDS]
    found = kertl.evaluate(told(task, said, NAMES), (x, labels))
    assert found["images"] == 6
    assert {"single_label": "accuracy", "multi_label": "exact", "regression": "r2"}[task] in found
    assert found.get("accuracy", found.get("r2")) == 1.0
    if task == "single_label":
        less = kertl.evaluate(told(task, said[:2], NAMES), (x[:2], np.asarray(labels)[:2]))
        assert less["missing_classes"] == ["dog", "eel"]


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 2, 0, 1, 3], ["cat"] * 5 + ["fox"]])
def test_labels_that_do_not_fit_the_images_or_the_model_are_an_error(labels):
    with pytest.raises(DataError, match="`y` must hold"):
        kertl.evaluate(told("single_label", SURE, NAMES), (np.zeros((6, 4, 4, 3), np.uint8), labels))


def test_predictions_for_other_images_are_refused():
    data = task_data("single_label", [NAMES[k] for k in IDS]).train
    with pytest.raises(ValueError, match=r"`predictions` must be .* of shape \(6, 3\)"):
        kertl.evaluate(told("single_label", SURE, NAMES), data, predictions=SURE[:3])
