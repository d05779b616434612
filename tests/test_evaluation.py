import numpy as np
import pytest

import kertl

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
