import functools
import math

import keras
import numpy as np
import pytest

import kertl
from kertl.features import EpochFitter, feature_batches
from tests.messages import assert_names
from tests.runs import squares, values

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(37, 6)).astype("float32")
LABELS = RANDOM.integers(0, 3, 37).astype("int32")


def head(inputs=6, dropout=0.4):
    """A compiled head whose weights and dropout are the same each time."""
    keras.utils.set_random_seed(5)
    entries = keras.Input((inputs,))
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4, activation="relu")(entries))
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.Dropout(dropout, seed=7)(hidden))
    model = keras.Model(entries, outputs)
    schedule = kertl.schedules.OneCycle(peak=0.05, total_steps=40)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.AdamW(schedule), loss, metrics=["accuracy"], jit_compile=False)
    return model


class ByHand(keras.utils.PyDataset):
    """The batches as the formula has them."""

    def __init__(self, rows, weights=None, size=8, seed=3):
        super().__init__()
        self.rows, self.weights, self.size, self.seed, self.epoch = rows, weights, size, seed, 0

    def __len__(self):
        return math.ceil(len(self.rows) / self.size)

    def __getitem__(self, index):
        order = self.rows[np.random.default_rng((self.seed, self.epoch)).permutation(len(self.rows))]
        rows = order[index * self.size : (index + 1) * self.size]
        found = (FEATURES[rows], LABELS[rows])
        return found if self.weights is None else (*found, self.weights[rows])


def fitted_by_hand(data, epochs, **options):
    model = head()
    set_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(data, "epoch", epoch))
    history = model.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=[set_epoch], **options)
    return model, history.history


def close(one, other):
    return all(np.allclose(a, b, atol=1e-6, rtol=1e-5) for a, b in zip(values(one), values(other), strict=True))


def test_order_is_that_of_the_images_they_were_made_of():
    images = squares(validation=0, test=0).train
    batches = feature_batches(np.zeros((48, 2)), images.labels, batch_size=images.batch_size, seed=images.seed)
    for epoch in (0, 1, 7):
        assert batches.order(epoch).tolist() == images.order(epoch).tolist()
        for index in range(len(images)):
            assert batches.batch(epoch, index)[1].tolist() == images.batch(epoch, index)[1].tolist()
    assert len(batches) == len(images)


def test_mixup_mixes_features_labels_and_weights_with_another_of_the_batch():
    weights = RANDOM.uniform(1, 2, 37).astype("float32")
    rows = np.eye(3, dtype="float32")[LABELS]
    plain = feature_batches(FEATURES, rows, batch_size=8, seed=3, weights=weights)
    mixed = feature_batches(FEATURES, rows, batch_size=8, seed=3, weights=weights, mixup=0.4)
    for epoch, index in ((0, 0), (0, 1), (1, 0), (0, 4)):
        expected = plain.batch(epoch, index)
        partners, shares = kertl.data.mixing(3, epoch, index, len(expected[0]), 0.4)
        assert sorted(partners) == list(range(len(expected[0])))
        found, own = mixed.batch(epoch, index), expected[2]
        targets = [part * own[:, None] for part in (expected[0], expected[1], np.ones((len(own), 1)))]
        loss = shares[:, None]
        np.testing.assert_allclose(
            found[0], loss * expected[0] + (1 - loss) * expected[0][partners], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(found[2], shares * own + (1 - shares) * own[partners], rtol=1e-5)
        weighted = loss * targets[1] + (1 - loss) * targets[1][partners]
        np.testing.assert_allclose(found[2][:, None] * found[1], weighted, rtol=1e-5, atol=1e-6)
    shares = np.concatenate([kertl.data.mixing(3, epoch, 0, 8, 0.4)[1] for epoch in range(500)])
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 0.4 + 1)), rel=0.05), "that of Beta(0.4, 0.4)"
    assert not np.array_equal(mixed.batch(0, 0)[0], mixed.batch(1, 0)[0])
    np.testing.assert_array_equal(mixed.batch(2, 3)[0], mixed.batch(2, 3)[0])


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 2, 37).astype("float32")], ids=["plain", "weighted"])
def test_whole_epochs_are_mixed_as_single_batches_are(weights):
    ends = []
    for whole in (True, False):
        model = head()
        model.compile(keras.optimizers.AdamW(0.05), "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        batches = feature_batches(
            FEATURES, np.eye(3, dtype="float32")[LABELS], batch_size=8, seed=3, mixup=0.3, weights=weights
        )
        fit = EpochFitter(model).fit if whole else functools.partial(model.fit, shuffle=False)
        ends.append((fit(batches, epochs=3, verbose=0), model))
    assert ends[0][0].history["loss"] == pytest.approx(ends[1][0].history["loss"], rel=1e-5)
    assert close(ends[0][1].trainable_variables, ends[1][1].trainable_variables)


@pytest.mark.promise
@pytest.mark.slow
def test_plain_fit_goes_on_to_the_next_order_with_each_epoch():
    batches = feature_batches(FEATURES, LABELS, batch_size=8, seed=3)
    model = head()
    history = model.fit(batches, epochs=3, shuffle=False, verbose=0)
    expected, by_hand = fitted_by_hand(ByHand(np.arange(37)), epochs=3)
    assert batches.epoch == 3
    assert history.history["loss"] == pytest.approx(by_hand["loss"], rel=1e-5)
    assert close(model.trainable_variables, expected.trainable_variables)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("in_memory", [True, False], ids=["whole epochs", "from a file"])
def test_fitter_takes_the_steps_that_a_plain_fit_takes(in_memory, tmp_path):
    features = FEATURES
    if not in_memory:
        np.save(tmp_path / "features.npy", FEATURES)
        features = np.load(tmp_path / "features.npy", mmap_mode="r")
    rows = np.arange(1, 37, 2)
    weights = np.linspace(0.1, 2.0, 37).astype("float32")
    batches = feature_batches(features, LABELS, batch_size=8, seed=3, weights=weights, rows=rows)
    assert batches.in_memory == in_memory
    model = head()
    judged = feature_batches(features, LABELS, batch_size=8, seed=3, shuffle=False)
    history = EpochFitter(model).fit(batches, judged, epochs=4, verbose=0).history
    expected, by_hand = fitted_by_hand(ByHand(rows, weights), epochs=4, validation_data=(FEATURES, LABELS))
    assert history.keys() == by_hand.keys() == {"loss", "accuracy", "val_loss", "val_accuracy"}
    for name in history:
        assert history[name] == pytest.approx(by_hand[name], rel=1e-4)
    assert close(model.variables, expected.variables)
    assert int(model.optimizer.iterations) == 4 * 3


@pytest.mark.promise
@pytest.mark.slow
def test_fitter_goes_on_at_a_later_epoch_as_if_there_had_been_no_break():
    whole, broken = head(), head()
    batches = feature_batches(FEATURES, LABELS, batch_size=8, seed=3)
    EpochFitter(whole).fit(batches, epochs=4, verbose=0)
    EpochFitter(broken).fit(batches, epochs=2, verbose=0)
    EpochFitter(broken).fit(batches, initial_epoch=2, epochs=4, verbose=0)
    for one, other in zip(values(whole.variables), values(broken.variables), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fitter_compiles_once_for_several_sets_of_rows():
    model = head()
    calls = []
    step = model.train_step
    model.train_step = lambda *data: calls.append(1) or step(*data)
    fitter = EpochFitter(model)
    for rows in (np.arange(30), np.arange(5, 37), np.arange(8)):
        fitter.fit(feature_batches(FEATURES, LABELS, batch_size=8, seed=3, rows=rows), epochs=2, verbose=0)
    if keras.backend.backend() == "tensorflow":
        assert len(calls) == 2  # TensorFlow traces twice what makes variables, as the first step of an optimizer does
    assert int(model.optimizer.iterations) == 2 * (4 + 4 + 1)


def test_fitter_leaves_a_model_that_plain_fit_can_go_on_with():
    model = head()
    EpochFitter(model).fit(feature_batches(FEATURES, LABELS, batch_size=8, seed=3), epochs=1, verbose=0)
    model.fit(FEATURES, LABELS, batch_size=37, verbose=0)
    assert int(model.optimizer.iterations) == 5 + 1


def test_fitter_takes_two_tensors_and_half_precision():
    pair = [FEATURES.astype("float16"), FEATURES[:, :2].astype("float16")]
    keras.utils.set_random_seed(0)
    entries = [keras.Input((6,)), keras.Input((2,))]
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.Concatenate()(entries))
    model = keras.Model(entries, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.evaluate(pair, LABELS, verbose=0)
    EpochFitter(model).fit(feature_batches(pair, LABELS, batch_size=8, seed=3), epochs=5, verbose=0)
    assert model.evaluate(pair, LABELS, verbose=0) < before


def test_fitter_refuses_a_model_that_was_compiled_anew():
    model = head()
    fitter = EpochFitter(model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"^`model` must be compiled before .*EpochFitter.*Received: model=<"):
        fitter.fit(feature_batches(FEATURES, LABELS, batch_size=8, seed=3), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"batch_size": 0}, ("`batch_size`", ">= 1", "batch_size=0")),
        ({"seed": -1}, ("`seed`", ">= 0", "seed=-1")),
        ({"labels": LABELS[1:]}, ("`values`", "labels", "values=[37, 36]")),
    ],
)
def test_wrong_arguments_are_refused(arguments, named):
    with pytest.raises(ValueError, match="Received") as caught:
        feature_batches(**{"values": FEATURES, "labels": LABELS, "batch_size": 8, "seed": 3, **arguments})
    assert_names(caught.value, *named)
