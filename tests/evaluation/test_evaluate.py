import numpy as np
import pytest

import kertl
from tests.evaluation.told import task_data, told

NAMES = ["cat", "dog", "eel"]
# Six images: truth and answer, the probability of the answer, the rest spread evenly.
TRUTH = [0, 0, 0, 1, 1, 2]
ANSWERS = [0, 0, 1, 1, 2, 2]
SURE = [0.9, 0.6, 0.5, 0.8, 0.7, 0.4]


class Stub:
    """Answers as the table above says, recognising each image by its colour."""

    name = "stub"
    weights = ()

    def __init__(self, outputs=3):
        self.output_shape = (None, outputs)

    def predict(self, dataset, verbose):
        assert not dataset.shuffle
        colours = np.concatenate([dataset[index][0][:, 0, 0, 0] for index in range(len(dataset))])
        rows = []
        for colour in colours:
            answer, sure = ANSWERS[colour], SURE[colour]
            rows.append([sure if k == answer else (1 - sure) / 2 for k in range(3)])
        return np.array(rows, "float32")


def data(truth=TRUTH, names=NAMES, **options):
    pictures = np.stack([np.full((4, 4, 3), colour, "uint8") for colour in range(len(truth))])
    options = {"validation": 0, "test": 0, "batch_size": 4, "seed": 3, "class_names": names, **options}
    return kertl.data.from_arrays(pictures, truth, **options)


def test_the_metrics_of_a_table_made_by_hand():
    found = kertl.evaluate(Stub(), data().train)
    assert found["images"] == 6
    assert found["confusion"] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 4 + 2 / 3) / 3)
    likelihoods = [0.9, 0.6, 0.25, 0.8, 0.15, 0.4]
    assert found["crossentropy"] == pytest.approx(-np.log(likelihoods).mean(), rel=1e-5)
    assert found["majority"] == pytest.approx(3 / 6)
    assert found["classes"] == {
        "cat": {"precision": 1.0, "recall": pytest.approx(2 / 3), "images": 3},
        "dog": {"precision": 0.5, "recall": 0.5, "images": 2},
        "eel": {"precision": 0.5, "recall": 1.0, "images": 1},
    }


def test_a_class_without_images_in_the_part_does_not_count_in_the_means():
    dataset = data().train
    rows = [0, 1, 2, 5]
    part = type(dataset)(
        reader=type(dataset.reader)(np.stack([dataset.reader.take(np.array([row]))[0] for row in rows])),
        labels=np.array(TRUTH)[rows],
        files=[dataset.files[row] for row in rows],
        class_names=NAMES,
    )
    found = kertl.evaluate(Stub(), part)
    assert found["classes"]["dog"] == {"precision": 0.0, "recall": 0.0, "images": 0}
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["macro_f1"] == pytest.approx((4 / 5 + 1) / 2)


def test_a_probability_of_zero_for_the_truth_leaves_the_crossentropy_finite(monkeypatch):
    monkeypatch.setattr(Stub, "predict", lambda self, dataset, verbose: np.eye(3)[[0, 0, 0, 0, 0, 0]])
    assert np.isfinite(kertl.evaluate(Stub(), data().train)["crossentropy"])


def test_the_metrics_are_plain_numbers_that_json_takes():
    import json

    found = kertl.evaluate(Stub(), data().train)
    assert json.loads(json.dumps(found)) == found


def test_predictions_come_in_data_order_whatever_the_order_of_training():
    dataset = data().train
    dataset.epoch = 5
    assert kertl.predict(Stub(), dataset).argmax(axis=1).tolist() == ANSWERS
    assert dataset.epoch == 5


def test_another_number_of_outputs_than_classes_is_an_error():
    with pytest.raises(ValueError, match=r"`model` must have .*'stub' with 2 outputs"):
        kertl.evaluate(Stub(outputs=2), data().train)


def test_images_without_labels_cannot_be_judged(tmp_path):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    unlabelled = kertl.data.images([tmp_path / "a.png"], image_size=(4, 4))
    with pytest.raises(ValueError, match=r"`data` must be .*labels.* data="):
        kertl.evaluate(Stub(), unlabelled)


def test_the_metrics_of_a_yes_or_no_question_made_by_hand():
    truth, sure = [0, 0, 0, 1, 1], [0.1, 0.4, 0.7, 0.35, 0.9]
    data = task_data("binary", truth, class_names=["no", "yes"])
    found = kertl.evaluate(told("binary", np.c_[sure], ["no", "yes"]), data.train)
    assert found["confusion"] == [[2, 1], [1, 1]]
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["f1"] == pytest.approx(2 / 4)
    assert found["auc"] == pytest.approx(4 / 6)  # pairs in the right order: .35 over .1; .9 over all three
    assert found["crossentropy"] == pytest.approx(-np.log([0.9, 0.6, 0.3, 0.35, 0.9]).mean(), rel=1e-5)
    assert found["thresholds"] == {"yes": 0.5}
    lower = kertl.evaluate(told("binary", np.c_[sure], ["no", "yes"], (0.3,)), data.train)
    assert lower["confusion"] == [[1, 2], [0, 2]]
    assert lower["thresholds"] == {"yes": 0.3}


def test_the_metrics_of_several_labels_made_by_hand():
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    sure = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.2], [0.3, 0.8, 0.9], [0.2, 0.1, 0.3]])
    data = task_data("multi_label", truth[:, :2], class_names=["cat", "dog"]).train
    found = kertl.evaluate(told("multi_label", sure, ["cat", "dog", "eel"]), data)
    assert found["images"] == 4
    # The labels do not tell of eels, so that these count neither as right nor as wrong.
    assert found["exact"] == pytest.approx(2 / 4)
    assert found["accuracy"] == pytest.approx(6 / 8)
    assert found["micro_f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["auc"] == pytest.approx(1)
    assert found["average_precision"] == pytest.approx(1)
    likelihood = np.where(truth, sure, 1 - sure)[:, :2]
    assert found["crossentropy"] == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)
    assert found["classes"]["dog"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(4 / 5),
        "auc": 1.0,
        "average_precision": 1.0,
        "images": 2,
    }
    assert found["missing_classes"] == ["eel"]
    assert set(found["classes"]) == {"cat", "dog"}
    strict = told("multi_label", sure, ["cat", "dog", "eel"], (0.35, 0.65, 0.95))
    assert kertl.evaluate(strict, data)["exact"] == 1
    assert kertl.evaluate(strict, data)["thresholds"] == {"cat": 0.35, "dog": 0.65}


def test_the_metrics_of_a_regression_made_by_hand():
    truth = np.array([[1.0, 10], [2, 20], [3, 60]])
    said = np.array([[1.5, 10], [2, 20], [2, 30]])
    data = task_data("regression", truth, class_names=["x", "y"])
    found = kertl.evaluate(told("regression", said, ["x", "y"]), data.train)
    assert found["targets"]["x"] == {
        "mae": pytest.approx(0.5),
        "rmse": pytest.approx(np.sqrt(1.25 / 3)),
        "r2": pytest.approx(1 - 1.25 / 2),
    }
    assert found["targets"]["y"]["r2"] == pytest.approx(1 - 900 / 1400)
    assert found["mae"] == pytest.approx((0.5 + 10) / 2)
    assert found["r2"] == pytest.approx((1 - 1.25 / 2 + 1 - 900 / 1400) / 2)


def test_large_targets_with_a_small_standard_deviation_keep_their_metrics():
    truth = 1e5 + np.arange(8.0)
    data = task_data("regression", truth)
    found = kertl.evaluate(told("regression", np.c_[truth + 0.5], ["0"]), data.train)
    assert found["r2"] == pytest.approx(1 - 8 * 0.25 / 42)


def test_a_target_that_does_not_vary_in_the_part_has_no_r2():
    data = task_data("regression", [2.0, 2.0])
    found = kertl.evaluate(told("regression", [[1.0], [3.0]], ["0"]), data.train)
    assert (found["r2"], found["mae"]) == (None, 1.0)


@pytest.mark.parametrize("task", ["binary", "multi_label", "regression"])
def test_the_metrics_of_every_task_are_plain_numbers_that_json_takes(task):
    import json

    y = {"binary": [0, 1, 1, 0], "multi_label": np.eye(2)[[0, 1, 1, 0]], "regression": [1.0, 2.0, 3.0, 4.0]}[task]
    rows = np.full((4, 2 if task == "multi_label" else 1), 0.25)
    found = kertl.evaluate(told(task, rows, ["0"] if task == "regression" else ["0", "1"]), task_data(task, y).train)
    assert json.loads(json.dumps(found)) == found


def test_a_model_of_another_task_is_not_judged():
    model = told("multi_label", np.zeros((4, 2)), ["a", "b"])
    with pytest.raises(kertl.errors.DataError, match=r"task 'multi_label'\. Received: 'regression'"):
        kertl.evaluate(model, task_data("regression", np.eye(4)[:, :2]).train)
    two = told("binary", np.zeros((4, 2)), ["0", "1"])
    with pytest.raises(ValueError, match=r"`model` must have one output .*2 classes.* 2 outputs"):
        kertl.evaluate(two, task_data("binary", [0, 1, 0, 1]).train)
