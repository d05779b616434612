import dataclasses

import numpy as np
import pytest
from scipy.special import expit, softmax

import kertl
from kertl.interpretation._calibration import best_temperature, calibration_of
from kertl.tasks import task_named
from tests.families import small_backbone
from tests.runs import classifier, squares


def draws(task, temperature, count=20_000):
    """Labels, and predictions whose scores are too large by a temperature."""
    random = np.random.default_rng(0)
    if task == "single_label":
        scores = random.normal(size=(count, 4)) * 2
        said = softmax(scores, axis=1)
        truth = (said.cumsum(axis=1) > random.random((count, 1))).argmax(axis=1)
        return truth, softmax(scores * temperature, axis=1)
    scores = random.normal(size=(count, 1 if task == "binary" else 3)) * 2
    return (random.random(scores.shape) < expit(scores)).astype("float32"), expit(scores * temperature)


@pytest.mark.parametrize("task", ["single_label", "binary", "multi_label"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_of_scores_that_are_too_large_or_too_small_is_found(task, temperature):
    truth, said = draws(task, temperature)
    found = best_temperature(task_named(task), truth, said)
    assert found == pytest.approx(temperature, rel=0.05)
    calibration = calibration_of(task_named(task), truth, said, found)
    assert calibration.error_after < 0.015
    assert calibration.error > 0.05 or temperature == 1
    assert sum(one.images for one in calibration.bins) == (said.size if task == "multi_label" else len(truth))


def test_the_error_is_the_weighted_distance_of_the_bins():
    truth = np.array([0, 0, 1, 1])
    said = np.array([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65], [0.65, 0.35]])
    found = calibration_of(task_named("single_label"), truth, said)
    assert [(one.confidence, one.accuracy, one.images) for one in found.bins] == [
        (pytest.approx(0.65), 0.5, 2),
        (pytest.approx(0.95), 1.0, 2),
    ]
    assert found.error == pytest.approx((2 * 0.15 + 2 * 0.05) / 4)
    assert type(found).from_json(found.to_json()) == found
    assert found.plot().axes[0].get_xlabel() == "predicted probability"


def test_calibrate_divides_the_scores_of_the_model_and_keeps_its_decisions(tmp_path):
    data = squares(per_class=24)
    model = classifier(dropout=0.0)
    dense = kertl.model.output_layer(model).dense
    dense.set_weights([30 * value for value in dense.get_weights()])  # much too sure of what it has not learnt
    before = kertl.predict(model, data)
    found = kertl.calibrate(model, data)
    after = kertl.predict(model, data)
    assert found.temperature > 3
    said = " ".join(str(found).split())
    assert all(words in said for words in ("too sure of itself", "too few to be sure of", "divided", "`kertl.save`"))
    assert "is unchanged" in dataclasses.replace(found, applied=False).sentence()
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    again = kertl.calibrate(model, data)
    assert again.temperature == pytest.approx(1, abs=0.02)
    kertl.save(model, tmp_path / "m.keras")
    assert np.allclose(kertl.predict(kertl.load(tmp_path / "m.keras"), data), kertl.predict(model, data), atol=1e-6)


def test_what_reaches_a_threshold_still_does():
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (40, 32, 32, 3), dtype="uint8")
    data = kertl.data.from_arrays(pictures, ["no", "yes"] * 20, task="binary", validation=0.5, test=0)
    model = kertl.build(small_backbone(), class_names=["no", "yes"], task="binary")
    kertl.tune_thresholds(model, data)
    before = kertl.answers(model, kertl.predict(model, data, part="validation"))
    kertl.calibrate(model, data)
    after = kertl.answers(model, kertl.predict(model, data, part="validation"))
    assert [one["label"] for one in before] == [one["label"] for one in after]
    assert not np.allclose([one["probability"] for one in before], [one["probability"] for one in after])


def test_what_cannot_be_calibrated_is_said():
    regression = kertl.build(small_backbone(), num_classes=1, task="regression")
    data = squares()
    with pytest.raises(ValueError, match="a classifier, which predicts probabilities"):
        kertl.calibrate(regression, data)
    with pytest.raises(ValueError, match="a validation set, on which the temperature is chosen"):
        kertl.calibrate(classifier(), squares(validation=0))
