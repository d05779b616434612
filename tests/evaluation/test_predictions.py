"""Predictions that somebody brings along."""

import numpy as np
import pytest

import kertl
from tests.runs import classifier, squares


@pytest.fixture(scope="module")
def model():
    return classifier()


@pytest.mark.parametrize(
    "predictions",
    [np.zeros((12, 5)), np.zeros((12, 2)), np.zeros(12), np.zeros((11, 3)), np.full((12, 3), np.nan), [["a"] * 3] * 12],
)
def test_what_a_model_cannot_have_predicted_is_refused(model, predictions):
    part = squares().test
    with pytest.raises(ValueError, match=r"`predictions` must be .*\(12, 3\)"):
        kertl.evaluate(model, part, predictions=predictions)
    with pytest.raises(ValueError, match="`predictions` must be an array without masked values"):
        kertl.evaluate(model, part, predictions=np.ma.masked_less(np.full((12, 3), 0.5), 1))


def test_a_list_of_rows_is_taken(model):
    part = squares().test
    said = kertl.predict(model, part)
    assert kertl.evaluate(model, part, predictions=said.tolist())["images"] == 12
    assert kertl.answers(model, said.tolist()) == kertl.answers(model, said)
    with pytest.raises(ValueError, match=r"`predictions` must be .* predictions=\(12, 2\)"):
        kertl.answers(model, said[:, :2])


def test_a_class_that_the_labels_do_not_tell_of_does_not_count_as_a_no():
    model = kertl.build(
        "MobileNetV2", class_names=["a", "b", "c"], task="multi_label", weights=None, input_shape=(32, 32, 3)
    )
    pictures = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype="uint8")
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]])
    data = kertl.data.from_arrays(pictures, labels, class_names=["a", "c"], task="multi_label", validation=0, test=0)
    said = np.tile([[0.9, 0.9, 0.1]], (6, 1))
    found = kertl.evaluate(model, data.train, predictions=said)
    assert found["missing_classes"] == ["b"]
    assert found["accuracy"] == pytest.approx(np.mean((said[:, [0, 2]] >= 0.5) == labels))
    assert found["exact"] == pytest.approx(1 / 3)
    assert set(found["classes"]) == {"a", "c"}
