import keras
import numpy as np
import pytest

from kertl.callbacks import EpochSeeds

BATCHES = 3


class Ones(keras.utils.PyDataset):
    def __len__(self):
        return BATCHES

    def __getitem__(self, index):
        return np.ones((4, 16), "float32"), np.ones((4, 16), "float32")


class Recorder(keras.layers.Layer):
    """Keeps what comes through it in training; to be run eagerly."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def call(self, x, training=False):
        if training:
            self.kept.append(np.array(keras.ops.convert_to_numpy(x)))
        return x


def draws(seed, *epochs, before=0):
    """What dropout lets through in each batch of the epochs, by (epoch, batch)."""
    recorder = Recorder()
    inner = keras.Sequential([keras.Input((16,)), keras.layers.GaussianNoise(1.0)], name="inner")
    inputs = keras.Input((16,))
    model = keras.Model(inputs, keras.layers.Dense(16)(recorder(inner(keras.layers.Dropout(0.5)(inputs)))))
    model.compile("sgd", "mse", run_eagerly=True)
    for _ in range(before):
        model.train_on_batch(*Ones()[0])
    recorder.kept.clear()
    first, last = min(epochs), max(epochs) + 1
    model.fit(Ones(), initial_epoch=first, epochs=last, callbacks=[EpochSeeds(seed)], shuffle=False, verbose=0)
    kept = iter(recorder.kept[-BATCHES * (last - first) :])
    return {(epoch, batch): next(kept) for epoch in range(first, last) for batch in range(BATCHES)}


def test_what_is_drawn_is_a_function_of_seed_epoch_and_batch_whatever_was_drawn_before():
    whole, later = draws(3, 0, 1, 2), draws(3, 1, 2, before=5)
    for place, drawn in later.items():
        np.testing.assert_array_equal(drawn, whole[place], err_msg=str(place))


def test_every_batch_every_epoch_and_every_seed_draw_something_else():
    found = [*draws(3, 0, 1).values(), *draws(4, 0, 1).values()]
    assert len({drawn.tobytes() for drawn in found}) == len(found)


def test_two_layers_do_not_draw_the_same():
    first, second = keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)
    inputs = keras.Input((64,))
    model = keras.Model(inputs, [first(inputs), second(inputs)])
    callback = EpochSeeds(0)
    callback.set_model(model)
    callback.on_epoch_begin(0)
    a, b = model(np.ones((1, 64)), training=True)
    assert not np.array_equal(a, b)


def test_a_generator_that_two_layers_share_is_set_once_and_a_model_without_any_is_left_alone():
    callback = EpochSeeds(0)
    callback.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    callback.on_epoch_begin(0)


@pytest.mark.parametrize("epoch", [0, 7])
def test_the_state_is_drawn_by_numpys_generator_of_seed_epoch_and_place(epoch):
    dropouts = [keras.layers.Dropout(0.5), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((4,)), *dropouts])
    callback = EpochSeeds(11)
    callback.set_model(model)
    callback.on_epoch_begin(epoch)
    for place, layer in enumerate(dropouts):
        state = keras.ops.convert_to_numpy(layer.seed_generator.state)
        assert state.tolist() == [np.random.default_rng((11, epoch, place)).integers(2**31, size=1)[0], 0]
