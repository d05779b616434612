import keras
import numpy as np
import pytest

from kertl.callbacks import BestWeights

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    return model


def go_through(model, callback, values):
    """Epochs with the given values of `val_loss`; in epoch k, counted from 0, the weight is 10 + k."""
    model.stop_training = False
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        model.set_weights([np.full((1, 1), 10.0 + epoch)])
        callback.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch + 1, float(model.get_weights()[0][0, 0])


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        ([3.0, 2.0, 1.0], 12),
        ([3.0, 1.0, 2.0], 11),
        ([1.0, 1.0, 1.0], 10),
        ([NAN, 3.0, 2.0, 4.0], 12),
        ([3.0, NAN, 4.0], 10),
        ([INF, 5.0, NAN], 11),
        ([-INF, 5.0, 6.0], 11),
        ([2.0, -INF, 3.0], 10),
        ([NAN, NAN], 1),
        ([INF], 1),
    ],
)
def test_the_weights_of_the_best_finite_epoch_are_restored_and_those_of_before_if_there_is_none(model, values, weight):
    assert go_through(model, BestWeights(), values) == (len(values), weight)


@pytest.mark.parametrize(
    ("patience", "values", "epochs"),
    [
        (1, [3.0, 2.0, 2.0, 1.0], 3),
        (2, [3.0, 4.0, 5.0, 1.0], 3),
        (2, [3.0, 4.0, 2.0, 5.0, 5.0, 1.0], 5),
        (1, [3.0, NAN, 1.0], 2),
        (None, [1.0] + [2.0] * 30, 31),
    ],
)
def test_training_stops_after_the_patience_without_a_better_value(model, patience, values, epochs):
    assert go_through(model, BestWeights(patience_epochs=patience), values)[0] == epochs


def test_a_second_fit_begins_anew(model):
    callback = BestWeights()
    assert go_through(model, callback, [1.0])[1] == 10
    assert go_through(model, callback, [5.0, 4.0, 6.0])[1] == 11


def test_in_a_fit_the_value_of_the_model_afterwards_is_the_best_of_the_history(model):
    x = np.ones((8, 1))
    model.compile(keras.optimizers.SGD(0.95), "mse", metrics=[keras.metrics.MeanAbsoluteError(name="mae")])
    validation = (x, -0.3 * x)
    callbacks = [BestWeights("val_loss")]
    history = model.fit(
        x, -x, validation_data=validation, epochs=5, callbacks=callbacks, batch_size=8, verbose=0
    ).history
    assert min(history["val_loss"]) < history["val_loss"][-1]
    assert model.evaluate(*validation, verbose=0)[0] == pytest.approx(min(history["val_loss"]), rel=1e-6)


def test_an_accuracy_is_best_where_it_is_highest():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=[keras.metrics.BinaryAccuracy(name="accuracy")])
    model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0)
    callback = BestWeights("val_accuracy")
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate([0.2, 0.9, 0.5]):
        model.set_weights([np.full((1, 1), 10.0 + epoch)])
        callback.on_epoch_end(epoch, {"val_accuracy": value})
    callback.on_train_end()
    assert float(model.get_weights()[0][0, 0]) == 11


def test_another_callback_goes_on_from_what_one_remembers():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    one, other = BestWeights(), BestWeights()
    for callback in (one, other):
        callback.set_model(model)
    one.on_train_begin()
    one.best, one.best_epoch, one.wait = 0.25, 3, 2
    best = model.get_weights()
    model.layers[0].kernel.assign(np.full((3, 2), -0.0, "float32"))
    state = one.get_state()
    assert list(state["best_weights"]) == ["0"], "only what differs from the model is kept twice"
    other.set_state(state)
    assert (other.best, other.best_epoch, other.wait) == (0.25, 3, 2)
    assert [kept.tobytes() for kept in other.best_weights] == [kept.tobytes() for kept in best]
