import keras
import numpy as np
import pytest

from kertl.callbacks import StopOnDivergence


def fit(bad=None, value=np.nan, epochs=3):
    """A fit of 4 batches an epoch, in which batch `bad` brings `value`; the callback, and the batches seen."""

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return np.ones((2, 1)), np.full((2, 1), 1.0)

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if (self.epoch, batch) == bad:
                model.set_weights([np.full((1, 1), value)])

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            seen.append((self.epoch, batch))

    seen = []
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    callback = StopOnDivergence()
    model.fit(Data(), epochs=epochs, shuffle=False, callbacks=[Spoil(), callback], verbose=0)
    return callback, seen


def test_a_fit_that_goes_well_is_left_alone():
    callback, seen = fit()
    assert callback.diverged_at is None
    assert len(seen) == 12


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("bad", [(0, 0), (1, 2), (2, 3)])
def test_training_stops_at_the_batch_whose_loss_is_no_number(bad, value):
    callback, seen = fit(bad, value)
    assert callback.diverged_at == bad
    assert seen[-1] == bad


def test_a_batch_without_a_loss_says_nothing():
    callback = StopOnDivergence()
    callback.on_epoch_begin(0)
    callback.on_train_batch_end(0, None)
    callback.on_train_batch_end(1, {})
    assert callback.diverged_at is None
