"""Metrics of mixed labels: a prediction is compared with the label of the greater share."""

import numpy as np
import pytest
from sklearn import metrics

from kertl.tasks import task_named

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("task", "outputs"), [("binary", 1), ("multi_label", 3)])
def test_mixed_labels_of_yes_or_no_count_as_those_of_the_greater_share(task, outputs):
    own, other = RANDOM.integers(0, 2, (2, 200, outputs))
    share = RANDOM.beta(0.4, 0.4, (200, 1))
    mixed, predictions = share * own + (1 - share) * other, RANDOM.random((200, outputs)).astype("float32")
    truth = np.where(share > 0.5, own, other)
    found = {}
    for metric in task_named(task).metrics():
        metric.update_state(mixed.astype("float32"), predictions)
        found[metric.name] = float(metric.result())
    assert found["accuracy"] == pytest.approx(np.mean((predictions > 0.5) == truth), abs=1e-5)
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth.ravel(), predictions.ravel()), abs=0.01)
    if task == "multi_label":
        expected = metrics.f1_score(truth, predictions > 0.5, average="macro")
        assert found["macro_f1"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("task", ["binary", "multi_label"])
def test_plain_labels_count_as_keras_counts_them(task):
    import keras

    truth, predictions = RANDOM.integers(0, 2, (50, 2 if task == "multi_label" else 1)), RANDOM.random((50, 1))
    predictions = np.broadcast_to(predictions, truth.shape).astype("float32")
    ours, theirs = task_named(task).metrics()[1], keras.metrics.AUC()
    for metric in (ours, theirs):
        metric.update_state(truth.astype("float32"), predictions)
    assert float(ours.result()) == float(theirs.result())
