import keras
import numpy as np
import pytest

import kertl
from tests.messages import assert_names
from tests.range_test.models import assert_same, compiled, examples, state, trained

QUICK = {"steps": 20, "start": 1e-4, "end": 30.0}


def fit(model, test, **options):
    options = {"batch_size": 16, "epochs": 5, "verbose": 0, "callbacks": [test], **options}
    return model.fit(*options.pop("data", examples()), **options)


def given_back(model, before):
    """But for the history, which is that of this `fit`, and the training step, which Keras made meanwhile."""
    before["objects"] = state(model)["objects"]
    assert_same(model, before)


@pytest.mark.parametrize("rate", [0.01, kertl.schedules.OneCycle(0.1, 50)])
def test_a_fit_with_the_callback_leaves_everything_as_before(rate):
    model, test = trained(keras.optimizers.SGD(rate, momentum=0.9)), kertl.LRRangeTest(**QUICK)
    metrics = [variable for metric in model.metrics[1:] for variable in metric.variables]
    before = state(model)
    step = model.train_function
    fit(model, test)
    given_back(model, before)
    assert metrics
    assert model.train_function is step
    assert model.stop_training is False
    assert 3 < len(test.result.losses) <= 20
    assert test.result.learning_rates[0] == 1e-4
    assert test.result.runs[0].standing is None


def test_the_callback_can_be_used_again():
    model, test = compiled("sgd"), kertl.LRRangeTest(**QUICK)
    fit(model, test, shuffle=False)
    first = test.result
    fit(model, test, shuffle=False)
    assert len(test.result.losses) == len(first.losses)
    assert test.result is not first


class Raising(keras.utils.PyDataset):
    def __init__(self, error, **options):
        super().__init__(**options)
        self.error = error

    def __len__(self):
        return 20

    def __getitem__(self, index):
        if index == 10:
            raise self.error
        return tuple(part[:16] for part in examples())


@pytest.mark.parametrize("rate", [0.01, kertl.schedules.OneCycle(0.1, 50)])
def test_an_exception_in_the_data_gives_everything_back(rate):
    model, test = trained(keras.optimizers.SGD(rate, momentum=0.9)), kertl.LRRangeTest(**QUICK)
    before = state(model)
    with pytest.raises(Exception, match="enough"):
        model.fit(Raising(RuntimeError("enough")), callbacks=[test], shuffle=False, verbose=0)
    given_back(model, before)
    assert test.result is None


def test_ctrl_c_in_a_step_gives_everything_back():
    model, test = trained("adam", run_eagerly=True), kertl.LRRangeTest(**QUICK)
    before = state(model)
    calls = []
    kept = model.train_step

    def interrupted(data):
        calls.append(None)
        found = kept(data)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return found

    model.train_step = interrupted
    model.make_train_function(force=True)
    with pytest.raises(KeyboardInterrupt):
        fit(model, test)
    given_back(model, before)


def test_after_an_exception_of_another_callback_restore_gives_everything_back():
    class Other(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("enough")

    model, test = trained("adam"), kertl.LRRangeTest(**QUICK)
    before = state(model)
    with pytest.raises(RuntimeError, match="enough"):
        fit(model, test, callbacks=[test, Other()])
    test.restore()
    test.restore()
    given_back(model, before)


def test_a_fit_with_fewer_batches_than_steps_is_tested_with_as_many(caplog):
    model, test = compiled("adam"), kertl.LRRangeTest(start=1e-6, end=1e-4)
    model.fit(*examples(), batch_size=4, epochs=1, callbacks=[test], verbose=0)
    batches = len(examples()[0]) // 4
    assert 20 <= batches < 100
    assert len(test.result.learning_rates) == batches
    assert test.result.learning_rates[-1] == pytest.approx(1e-4)
    assert_names(caplog.text, f"{batches} batches", "100")


def test_a_fit_that_is_too_short_is_refused():
    with pytest.raises(ValueError, match=r"`steps` must be at most 12\b.* steps=20\..*`epochs=4`"):
        fit(compiled("sgd"), kertl.LRRangeTest(steps=20), epochs=2)


def test_other_metrics_and_validation_do_no_harm():
    model, test = trained("adam"), kertl.LRRangeTest(**QUICK)
    before = state(model)
    fit(model, test, validation_data=examples(), callbacks=[keras.callbacks.History(), test])
    given_back(model, before)
    assert np.isfinite(test.result.losses).all()
