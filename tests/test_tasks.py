import json

import keras
import numpy as np
import pytest

from kertl.tasks import TASKS, SmoothedCrossentropy, task_named


def probabilities(rows=6, classes=4):
    raw = np.random.default_rng(0).uniform(0.05, 1, (rows, classes))
    return (raw / raw.sum(axis=1, keepdims=True)).astype("float32")


def crossentropy(ids, predicted, smoothing):
    """Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7, per example."""
    classes = predicted.shape[1]
    losses = []
    for label, row in zip(ids, predicted.astype("float64"), strict=True):
        targets = [smoothing / classes + (1 - smoothing) * (k == label) for k in range(classes)]
        losses.append(-sum(target * np.log(p) for target, p in zip(targets, row, strict=True)))
    return np.array(losses)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("form", ["ids", "column", "one_hot", "float ids"])
def test_the_loss_is_its_formula_for_every_form_of_labels(form, smoothing):
    ids, predicted = np.array([0, 1, 2, 3, 1, 1]), probabilities()
    labels = {
        "ids": ids.astype("int32"),
        "column": ids[:, None],
        "one_hot": np.eye(4, dtype="float32")[ids],
        "float ids": ids.astype("float32"),
    }[form]
    expected = crossentropy(ids, predicted, smoothing)
    loss = SmoothedCrossentropy(smoothing)
    np.testing.assert_allclose(loss.call(keras.ops.convert_to_tensor(labels), predicted), expected, rtol=1e-5)
    assert float(loss(labels, predicted)) == pytest.approx(expected.mean(), rel=1e-5)


def test_labels_that_are_shares_of_classes_are_taken_as_they_are():
    labels, predicted = probabilities(classes=3, rows=2), probabilities(classes=3, rows=2)[::-1]
    expected = -(labels * np.log(predicted)).sum(axis=1)
    np.testing.assert_allclose(SmoothedCrossentropy(0.0).call(labels, predicted), expected, rtol=1e-5)


def test_class_weights_count_in_a_fit_with_ids():
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2, activation="softmax", kernel_initializer="zeros")]
    )
    model.compile("sgd", SmoothedCrossentropy(0.0))
    x, y = np.ones((4, 2)), np.array([0, 0, 0, 1])
    history = model.fit(x, y, class_weight={0: 0.5, 1: 3.0}, batch_size=4, verbose=0).history
    assert history["loss"][0] == pytest.approx((3 * 0.5 + 3.0) / 4 * np.log(2), rel=1e-5)


def test_the_loss_is_the_same_from_its_config():
    loss = SmoothedCrossentropy(0.2, name="mine")
    serialised = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(serialised)
    assert isinstance(again, SmoothedCrossentropy)
    assert again.get_config() == loss.get_config()
    assert (again.smoothing, again.name) == (0.2, "mine")


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan"), "0.1"])
def test_a_smoothing_out_of_the_range_that_is_written_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"`smoothing` must be a number >= 0 and < 1\. Received: smoothing="):
        SmoothedCrossentropy(smoothing)


@pytest.mark.parametrize(
    ("name", "activation", "metric"),
    [("single_label", "softmax", "accuracy"), ("multi_label", "sigmoid", "accuracy"), ("regression", "linear", "mae")],
)
def test_output_loss_and_metrics_of_a_task_go_together(name, activation, metric):
    task = task_named(name)
    assert (task.name, task.activation) == (name, activation)
    assert [one.name for one in task.metrics()] == [metric]
    assert task.metrics()[0] is not task.metrics()[0]
    shape = (3, 4)
    truth = {"single_label": np.array([0, 3, 1]), "multi_label": np.ones(shape), "regression": np.zeros(shape)}[name]
    predicted = keras.activations.get(activation)(keras.ops.convert_to_tensor(probabilities(*shape)))
    assert np.isfinite(float(task.loss(0.1)(truth, predicted)))
    (found,) = task.metrics()
    found.update_state(truth, predicted)
    assert np.isfinite(float(found.result()))


def test_there_are_three_tasks_and_another_one_is_an_error():
    assert set(TASKS) == {"single_label", "multi_label", "regression"}
    message = (
        r"`task` must be 'single_label' or 'multi_label' or 'regression'\. Received: task='single'\. "
        r"Did you mean 'single_label'\?"
    )
    with pytest.raises(ValueError, match=message):
        task_named("single")
