import logging

import keras
import numpy as np

import kertl
from kertl.callbacks import Diagnose


def fitted(callback, epochs=8, rate=0.01, momentum=None, validated=True):
    """Two clouds that a small network tells apart."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 96)
    x = (random.standard_normal((96, 4)) + 2.0 * y[:, None]).astype("float32")
    norm = [] if momentum is None else [keras.layers.BatchNormalization(momentum=momentum)]
    model = keras.Sequential([keras.Input((4,)), *norm, keras.layers.Dense(2, "softmax")])
    model.compile(
        keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    options = {"validation_data": (x[:32], y[:32])} if validated else {}
    return model.fit(x[32:], y[32:], epochs=epochs, callbacks=[callback], verbose=0, **options)


def test_it_says_once_and_in_time_what_is_worth_stopping_for(caplog):
    callback = Diagnose(task="single_label", classes=2, validation_images=32)
    with caplog.at_level(logging.WARNING, "kertl"):
        fitted(callback, epochs=10, rate=1e-7)
    assert callback.diagnosis.verdict == "rate_too_low"
    (said,) = [record.getMessage() for record in caplog.records]
    assert "rate is too low" in said
    assert "with 5 left" in said
    assert "learning_rate=3e-06" in said


def test_it_is_silent_where_nothing_is_wrong(caplog):
    callback = Diagnose(task="single_label", classes=2, validation_images=32)
    with caplog.at_level(logging.WARNING, "kertl"):
        fitted(callback, rate=0.05)
    assert callback.diagnosis.healthy or callback.diagnosis.verdict == "validation_too_small"
    assert not caplog.records


def test_training_images_in_inference_mode_show_batch_norm_that_disagrees():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 96)
    x = (100 * (random.standard_normal((96, 4)) + 2.0 * y[:, None])).astype("float32")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.BatchNormalization(momentum=0.9999), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(keras.optimizers.SGD(0.2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    callback = Diagnose((x[32:64], y[32:64]), task="single_label", classes=2)
    history = model.fit(
        x[32:], y[32:], validation_data=(x[:32], y[:32]), epochs=8, batch_size=8, callbacks=[callback], verbose=0
    )
    assert len(history.history["inference_loss"]) == 8
    model.evaluate(x[32:64], y[32:64], verbose=0)
    assert history.history["inference_loss"][-1] > 1.5 * history.history["loss"][-1]
    assert callback.diagnosis.verdict == "batch_norm"
    assert kertl.diagnose(history).verdict == "batch_norm"


def test_its_state_resumes_the_diagnosis():
    whole, begun = Diagnose(), Diagnose()
    fitted(whole, epochs=6, validated=False)
    fitted(begun, epochs=6, validated=False)
    again = Diagnose()
    again.set_state(begun.get_state())
    assert again.get_state() == begun.get_state() == whole.get_state()


def test_an_optimizer_without_a_rate_of_its_own_is_diagnosed_too():
    callback = Diagnose()
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizers = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.1))
    model.compile(keras.optimizers.MultiOptimizer(optimizers), "mse", jit_compile=False)
    model.fit(np.ones((4, 1)), np.zeros(4), epochs=1, callbacks=[callback], verbose=0)
    assert callback.diagnosis.verdict == "no_validation"
