import json

import keras
import numpy as np
import pytest

import kertl
from kertl.tasks import TASKS, SmoothedCrossentropy, StandardizedError, loss_named, task_named
from tests.messages import assert_names


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


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("focus", [0.5, 2.0])
def test_the_focal_loss_is_its_formula(focus, smoothing):
    # Lin et al. 2017, equation 4, summed over the classes, with alpha = 1.
    ids, predicted = np.array([0, 1, 2, 3, 1, 1]), probabilities()
    targets = smoothing / 4 + (1 - smoothing) * np.eye(4)[ids]
    expected = -(targets * (1 - predicted) ** focus * np.log(predicted)).sum(axis=1)
    np.testing.assert_allclose(SmoothedCrossentropy(smoothing, focus).call(ids, predicted), expected, rtol=1e-5)


@pytest.mark.parametrize("task", ["binary", "multi_label"])
def test_the_focal_loss_of_yes_and_no_is_its_formula(task):
    labels = np.array([[1, 0], [0, 1], [1, 1]], "float32")[:, : 1 if task == "binary" else 2]
    predicted = np.array([[0.9, 0.4], [0.3, 0.2], [0.6, 0.7]], "float32")[:, : labels.shape[1]]
    right = np.where(labels > 0, predicted, 1 - predicted)
    expected = -((1 - right) ** 2 * np.log(right)).mean()
    assert float(loss_named(task_named(task), "focal")(labels, predicted)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        ("mse", lambda error: error**2),
        ("mae", abs),
        ("huber", lambda error: error**2 / 2 if abs(error) <= 1 else abs(error) - 0.5),
    ],
)
def test_the_losses_of_a_regression_are_their_formulas_in_units_of_the_spread(kind, formula):
    truth, predicted, spreads = (
        np.array([[100.0, 1.0], [90.0, 0.0]]),
        np.array([[110.0, 2.0], [85.0, 0.1]]),
        [10.0, 0.5],
    )
    expected = np.mean([formula(error) for error in ((predicted - truth) / spreads).ravel()])
    loss = loss_named(task_named("regression"), kind, spreads=spreads)
    assert float(loss(truth, predicted)) == pytest.approx(expected, rel=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()


@keras.saving.register_keras_serializable(package="tests")
def absolute(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_pred - keras.ops.one_hot(y_true, 4)), axis=-1)


def test_anybodys_registered_function_is_a_loss():
    stage = kertl.Stage("deep", loss=absolute)
    assert stage.loss == "tests>absolute"
    assert loss_named(task_named("single_label"), stage.loss) is absolute
    assert kertl.Recipe.from_json(kertl.Recipe([stage]).to_json()).stages[0] == stage


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: kertl.Stage("deep", loss=probabilities), ("`loss`", "registered with Keras", "<function")),
        (
            lambda: kertl.Stage("deep", loss="focall"),
            ("`loss`", "'auto'", "'focal'", "'mse'", "'mae'", "'huber'", "loss='focall'"),
        ),
        (
            lambda: loss_named(task_named("multi_label"), "mse"),
            ("`loss`", "'auto' or 'focal'", "'multi_label'", "loss='mse'"),
        ),
        (
            lambda: loss_named(task_named("regression"), "focal"),
            ("`loss`", "'auto' or 'mse' or 'mae' or 'huber'", "'regression'", "loss='focal'"),
        ),
        (
            lambda: loss_named(task_named("regression"), "tests>nothing"),
            ("`loss`", "registered with Keras", "loss='tests>nothing'", "Import"),
        ),
    ],
)
def test_a_loss_that_does_not_go_is_refused(make, named):
    with pytest.raises(ValueError, match="Received: loss=") as caught:
        make()
    assert_names(caught.value, *named)


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
    with pytest.raises(ValueError, match=r"`smoothing` must be .*>= 0 and < 1.* smoothing="):
        SmoothedCrossentropy(smoothing)


@pytest.mark.parametrize(
    ("name", "activation", "metrics", "thresholds"),
    [
        ("single_label", "softmax", ["accuracy"], False),
        ("binary", "sigmoid", ["accuracy", "auc"], True),
        ("multi_label", "sigmoid", ["accuracy", "auc", "macro_f1"], True),
        ("regression", "linear", ["mae", "rmse"], False),
    ],
)
def test_output_loss_and_metrics_of_a_task_go_together(name, activation, metrics, thresholds):
    task = task_named(name)
    assert (task.name, task.activation, task.has_thresholds) == (name, activation, thresholds)
    assert [one.name for one in task.metrics()] == metrics
    assert task.metrics()[0] is not task.metrics()[0]
    shape = (3, task.outputs(2 if name == "binary" else 4))
    truth = {"single_label": np.array([0, 3, 1]), "regression": np.zeros(shape, "float32")}.get(
        name, np.array([[1.0], [0.0], [1.0]], "float32") * np.ones(shape, "float32")
    )
    predicted = keras.activations.get(activation)(keras.ops.convert_to_tensor(probabilities(*shape)))
    assert np.isfinite(float(task.loss(0.1)(truth, predicted)))
    for found in task.metrics():
        found.update_state(truth, predicted)
        assert np.isfinite(float(found.result()))


def test_two_classes_want_one_output_and_other_tasks_one_each():
    assert {name: task.outputs(2) for name, task in TASKS.items()} == {
        "single_label": 2,
        "binary": 1,
        "multi_label": 2,
        "regression": 2,
    }


def test_the_squared_error_counts_each_target_in_units_of_its_spread():
    random = np.random.default_rng(0)
    spreads = [1000.0, 0.01]
    truth = random.normal(size=(50, 2)) * spreads
    predicted = random.normal(size=(50, 2)) * spreads
    loss = TASKS["regression"].loss(0.1, spreads)
    expected = (((truth - predicted) / spreads) ** 2).mean(axis=1)
    np.testing.assert_allclose(loss.call(truth, predicted.astype("float32")), expected, rtol=1e-4)
    assert float(loss(truth, predicted.astype("float32"))) == pytest.approx(expected.mean(), rel=1e-4)
    mean_answer = np.tile(truth.mean(axis=0), (50, 1)).astype("float32")
    own = StandardizedError(truth.std(axis=0).tolist())
    assert float(own(truth, mean_answer)) == pytest.approx(1, rel=1e-4)


def test_the_squared_error_is_the_same_from_its_config():
    loss = StandardizedError((2, 3.5), name="mine")
    serialised = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    again = keras.saving.deserialize_keras_object(serialised)
    assert isinstance(again, StandardizedError)
    assert (again.spreads, again.name) == ([2.0, 3.5], "mine")


def test_a_flat_array_of_targets_is_not_broadcast_against_a_column_of_answers():
    truth, predicted = np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [3.0]], "float32")
    assert float(StandardizedError()(truth, predicted)) == 0


@pytest.mark.parametrize("spread", [0, -1.0, float("nan"), float("inf")])
def test_a_spread_that_is_none_is_refused(spread):
    with pytest.raises(ValueError, match=r"`spreads` must be .*> 0.* spreads="):
        StandardizedError([1.0, spread])


def test_there_are_four_tasks_and_another_one_is_an_error():
    assert list(TASKS) == ["single_label", "binary", "multi_label", "regression"]
    with pytest.raises(ValueError, match=r"`task` must be .*task='single'.*'single_label'"):
        task_named("single")
