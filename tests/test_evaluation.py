import re

import keras
import numpy as np
import pytest

import kertl
from kertl.evaluation import _best_threshold
from tests.families import small_backbone

NAMES = ["cat", "dog", "eel"]
# Six images: truth and answer, the probability of the answer, the rest spread evenly.
TRUTH = [0, 0, 0, 1, 1, 2]
ANSWERS = [0, 0, 1, 1, 2, 2]
SURE = [0.9, 0.6, 0.5, 0.8, 0.7, 0.4]


class Stub:
    """Answers as the table above says, recognising each image by its colour."""

    name = "stub"

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


def test_the_figures_of_a_table_made_by_hand():
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


def test_the_figures_are_plain_numbers_that_json_takes():
    import json

    found = kertl.evaluate(Stub(), data().train)
    assert json.loads(json.dumps(found)) == found


def test_predictions_come_in_data_order_whatever_the_order_of_training():
    dataset = data().train
    dataset.epoch = 5
    assert kertl.predict(Stub(), dataset).argmax(axis=1).tolist() == ANSWERS
    assert dataset.epoch == 5


def test_another_number_of_outputs_than_classes_is_an_error():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.evaluate(Stub(outputs=2), data().train)
    assert str(caught.value) == (
        "`model` must have one output per class of the data, 3. Received: 'stub' with 2 outputs."
    )


def test_images_without_labels_cannot_be_judged(tmp_path):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    unlabelled = kertl.data.images([tmp_path / "a.png"], image_size=(4, 4))
    with pytest.raises(ValueError, match=r"`dataset` must be a part of the data that has labels\. Received: dataset="):
        kertl.evaluate(Stub(), unlabelled)


class Answers:
    """Says what it is told, whatever it is shown, and counts how often it is asked."""

    name = "told"

    def __init__(self, rows):
        self.rows = np.asarray(rows, "float32")
        self.output_shape = (None, self.rows.shape[1])
        self.asked = []

    def predict(self, dataset, verbose):
        self.asked.append(list(dataset.files))
        return self.rows[[int(file.removeprefix("array:")) for file in dataset.files]]


def task_data(task, y, **options):
    pictures = np.stack([np.full((4, 4, 3), colour, "uint8") for colour in range(len(y))])
    return kertl.data.from_arrays(pictures, y, task=task, **{"validation": 0, "test": 0, **options})


def told(task, rows, names, thresholds=()):
    model = Answers(rows)
    return kertl.model.set_model_info(model, kertl.model.ModelInfo(task, tuple(names), "none", "1", thresholds))


def test_the_figures_of_a_yes_or_no_question_made_by_hand():
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


def test_the_figures_of_several_labels_made_by_hand():
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    sure = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.2], [0.3, 0.8, 0.9], [0.2, 0.1, 0.3]])
    data = task_data("multi_label", truth[:, :2], class_names=["cat", "dog"]).train.relabelled(["cat", "dog", "eel"])
    found = kertl.evaluate(told("multi_label", sure, ["cat", "dog", "eel"]), data)
    assert found["images"] == 4
    assert found["exact"] == pytest.approx(1 / 4)
    assert found["accuracy"] == pytest.approx(9 / 12)
    assert found["micro_f1"] == pytest.approx(2 * 3 / (2 * 3 + 2 + 1))
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert found["auc"] == pytest.approx(1)
    assert found["average_precision"] == pytest.approx(1)
    likelihood = np.where(truth, sure, 1 - sure)
    assert found["crossentropy"] == pytest.approx(-np.log(likelihood).mean(), rel=1e-5)
    assert found["classes"]["dog"] == {
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(4 / 5),
        "auc": 1.0,
        "average_precision": 1.0,
        "images": 2,
    }
    assert found["classes"]["eel"]["auc"] is None
    strict = told("multi_label", sure, ["cat", "dog", "eel"], (0.35, 0.65, 0.95))
    assert kertl.evaluate(strict, data)["exact"] == 1
    assert kertl.evaluate(strict, data)["thresholds"] == {"cat": 0.35, "dog": 0.65, "eel": 0.95}


def test_the_figures_of_a_regression_made_by_hand():
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


def test_large_targets_with_a_small_spread_keep_their_figures():
    truth = 1e5 + np.arange(8.0)
    data = task_data("regression", truth)
    found = kertl.evaluate(told("regression", np.c_[truth + 0.5], ["0"]), data.train)
    assert found["r2"] == pytest.approx(1 - 8 * 0.25 / 42)


def test_a_target_that_does_not_vary_in_the_part_has_no_r2():
    data = task_data("regression", [2.0, 2.0])
    found = kertl.evaluate(told("regression", [[1.0], [3.0]], ["0"]), data.train)
    assert (found["r2"], found["mae"]) == (None, 1.0)


@pytest.mark.parametrize("task", ["binary", "multi_label", "regression"])
def test_the_figures_of_every_task_are_plain_numbers_that_json_takes(task):
    import json

    y = {"binary": [0, 1, 1, 0], "multi_label": np.eye(2)[[0, 1, 1, 0]], "regression": [1.0, 2.0, 3.0, 4.0]}[task]
    rows = np.full((4, 2 if task == "multi_label" else 1), 0.25)
    found = kertl.evaluate(told(task, rows, ["a", "b"]), task_data(task, y).train)
    assert json.loads(json.dumps(found)) == found


def test_a_model_of_another_task_is_not_judged():
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.evaluate(
            told("multi_label", np.zeros((4, 2)), ["a", "b"]), task_data("regression", np.eye(4)[:, :2]).train
        )
    assert str(caught.value) == (
        "`model` must be for the task of the data, 'regression'. Received: 'told' for 'multi_label'."
    )
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.evaluate(told("binary", np.zeros((4, 2)), ["a", "b"]), task_data("binary", [0, 1, 0, 1]).train)
    assert str(caught.value) == "`model` must have one output per two classes, 1. Received: 'told' with 2 outputs."


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
    found = _best_threshold(np.array([True, False, False, True]), np.array([0.95, 0.9, 0.85, 0.4]))
    assert found == pytest.approx(0.2)


def test_a_label_without_a_positive_image_in_the_validation_part_keeps_one_half():
    assert _best_threshold(np.array([False, False]), np.array([0.2, 0.9])) == 0.5


def test_thresholds_want_a_task_that_has_them_and_a_validation_part():
    with pytest.raises(ValueError, match=r"`model` must be for 'binary' or 'multi_label', which have thresholds\."):
        kertl.tune_thresholds(told("regression", np.zeros((4, 1)), ["x"]), task_data("regression", [1.0, 2, 3, 4]))
    with pytest.raises(ValueError, match=r"`data` must be data with a validation part, which the thresholds are"):
        kertl.tune_thresholds(told("binary", np.zeros((4, 1)), ["a", "b"]), task_data("binary", [0, 1, 0, 1]))


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


def test_test_time_augmentation_averages_with_versions_that_the_seed_decides(monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
    data = kertl.data.from_arrays(pictures, [0, 1] * 5, validation=0, test=0, batch_size=4)
    model = kertl.build(small_backbone(), class_names=data.class_names)
    plain = kertl.predict(model, data.train)
    averaged = kertl.predict(model, data.train, views=3, seed=5)
    np.testing.assert_array_equal(averaged, kertl.predict(model, data.train, views=3, seed=5))
    assert not np.array_equal(averaged, kertl.predict(model, data.train, views=3, seed=6))
    assert not np.array_equal(averaged, plain)
    np.testing.assert_allclose(averaged.sum(axis=1), 1, rtol=1e-5)

    # mirrored by hand: every version of an image is the image itself or its mirror image
    monkeypatch.setattr(kertl.data.augment, "layers", lambda strength: [keras.layers.RandomFlip("horizontal")])
    mirrored = kertl.predict(
        model, kertl.data.from_arrays(pictures[:, :, ::-1], [0, 1] * 5, validation=0, test=0).train
    )
    versions = 4 * kertl.predict(model, data.train, views=3)[:, 0] - plain[:, 0]
    counts = (versions - 3 * plain[:, 0]) / (mirrored - plain)[:, 0]
    np.testing.assert_allclose(counts, np.round(counts), atol=0.02)
    assert set(np.round(counts)) <= {0, 1, 2, 3}
    assert len(set(np.round(counts))) > 1
    judged = kertl.evaluate(model, data.train, views=3)
    assert judged == kertl.evaluate(model, data.train, predictions=kertl.predict(model, data.train, views=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": -1}, "`views` must be a whole number >= 0. Received: views=-1."),
        ({"views": 2, "augment": "none"}, "`augment` must be one that varies images, where `views` > 0. Received: "),
        ({"views": 2, "seed": -1}, "`seed` must be a whole number >= 0. Received: seed=-1."),
    ],
)
def test_views_that_cannot_be_made_are_refused(options, message):
    data = kertl.data.from_arrays(np.zeros((4, 32, 32, 3), np.uint8), [0, 1] * 2, validation=0, test=0)
    model = kertl.build(small_backbone(), num_classes=2)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        kertl.predict(model, data.train, **options)
