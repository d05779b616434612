from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import kertl
from kertl.data._readers import ArrayReader, MemoryReader, aligned
from kertl.data._tf_batches import fit_input, usable_images
from kertl.errors import DataError
from tests.messages import assert_names


@pytest.fixture
def data(photos):
    return kertl.data.from_directory(photos, image_size=(4, 4), batch_size=4, validation=0.2, test=0)


def equal(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def small_model():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


class Seen(keras.layers.Layer):
    """Passes its input on and keeps the red of the first pixel of every image, in the order of training."""

    def __init__(self):
        super().__init__()
        self.values = []

    def call(self, x):
        def keep(red):
            self.values.append(red)
            return red

        red = tf.numpy_function(keep, [x[:, 0, 0, 0]], tf.float32, stateful=True)
        return keras.ops.reshape(red, (-1, 1)) / 255.0


def seen_in_fit(dataset, **options):
    seen = Seen()
    model = keras.Sequential([keras.Input((4, 4, 3)), seen, keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    seen.values.clear()
    model.fit(dataset, verbose=0, **options)
    return seen.values


def test_a_batch_is_images_of_the_right_shape_with_their_labels(data):
    images, labels = data.train[0]
    assert (images.shape, images.dtype) == ((4, 4, 4, 3), np.uint8)
    assert (labels.shape, labels.dtype) == ((4,), np.int32)
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 5 == 2, labels == 1)


def test_an_epoch_has_every_example_once_and_a_smaller_last_batch(photos):
    train = kertl.data.from_directory(photos, image_size=(4, 4), batch_size=5, validation=0.2, test=0).train
    batches = list(train)
    assert [len(images) for images, _ in batches] == [5, 5, 5, 5, 5, 5, 2]
    assert len({int(value) for images, _ in batches for value in images[:, 0, 0, 0]}) == train.num_examples == 32


def test_a_batch_depends_on_seed_epoch_and_index_alone(photos, data):
    again = kertl.data.from_directory(photos, image_size=(4, 4), batch_size=4, validation=0.2, test=0)
    expected = {(epoch, i): data.train.batch(epoch, i) for epoch in range(3) for i in range(8)}
    for epoch, i in np.random.default_rng(0).permutation(list(expected)).tolist():
        assert equal(again.train.batch(epoch, i), expected[epoch, i])
    assert not equal(expected[0, 0], expected[1, 0])


def test_the_order_of_an_epoch_is_the_documented_permutation(data):
    order = np.random.default_rng((0, 3)).permutation(32)
    np.testing.assert_array_equal(data.train.batch(3, 1)[1], data.train.labels[order[4:8]])


def test_setting_the_epoch_resumes_the_order(data):
    data.train.epoch = 5
    assert equal(data.train[2], data.train.batch(5, 2))


def test_validation_is_in_data_order_in_every_epoch(data):
    assert equal(data.validation.batch(0, 1), data.validation.batch(7, 1))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in data.validation]), data.validation.labels)


def test_fit_sees_the_batches_of_each_epoch_in_order(data):
    seen = seen_in_fit(data.train, epochs=3, shuffle=False)
    expected = [data.train.batch(epoch, i)[0][:, 0, 0, 0] for epoch in range(3) for i in range(8)]
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate(expected))
    assert data.train.epoch == 3


def test_the_shuffling_of_fit_gives_the_same_batches_in_another_order(data):
    seen = seen_in_fit(data.train, epochs=2)
    for epoch in range(2):
        expected = {tuple(data.train.batch(epoch, i)[0][:, 0, 0, 0].tolist()) for i in range(8)}
        assert {tuple(values.tolist()) for values in seen[8 * epoch : 8 * epoch + 8]} == expected


def test_only_a_whole_pass_counts_as_an_epoch(data):
    assert len(list(data.train)) == 8
    data.train.on_epoch_end()  # as `fit` does before its first epoch
    for _ in range(2):
        data.train.on_epoch_begin()
        list(map(data.train.__getitem__, range(7)))
        data.train.on_epoch_end()
    assert data.train.epoch == 0
    data.train.on_epoch_begin()
    assert len(list(data.train)) == 8
    data.train.on_epoch_end()
    assert data.train.epoch == 1


def test_fit_evaluate_and_predict_take_the_datasets(data):
    model = small_model()
    history = model.fit(
        data.train, validation_data=data.validation, class_weight=data.class_weights, epochs=2, verbose=0
    )
    assert len(history.history["val_loss"]) == 2
    assert model.predict(data.validation, verbose=0).shape == (8, 2)


def test_in_order_gives_the_same_examples_unshuffled(data):
    ordered = data.train.in_order()
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in ordered]), data.train.labels)
    assert ordered.files == data.train.files
    assert equal(ordered.batch(0, 0), ordered.batch(1, 0))


def test_the_cache_in_memory_gives_the_same_batches_without_the_files(photos, data):
    cached = kertl.data.from_directory(
        photos, image_size=(4, 4), batch_size=4, validation=0.2, test=0, cache="memory"
    ).train
    first = [cached.batch(0, i) for i in range(8)]
    expected = [[data.train.batch(epoch, i) for i in range(8)] for epoch in range(2)]
    for path in photos.rglob("*.png"):
        path.unlink()
    assert all(map(equal, first, expected[0]))
    assert all(equal(cached.batch(1, i), expected[1][i]) for i in range(8))
    assert len(list(cached.in_order())) == 8


def test_a_file_that_vanishes_after_the_scan_is_an_error_that_names_it(data):
    path = data.train.in_order().files[0]
    Path(path).unlink()
    with pytest.raises(DataError) as raised:
        data.train.in_order()[0]
    assert_names(raised.value, path, "No such file or directory")


def test_an_index_outside_the_epoch_is_an_error(data):
    with pytest.raises(IndexError) as raised:
        data.train[8]
    assert_names(raised.value, "`index`", "below 8", "index=8")


def test_the_tf_dataset_gives_the_same_batches_and_each_pass_is_the_next_epoch(data):
    dataset = data.train.to_tf_dataset()
    assert dataset.cardinality() == 8
    assert dataset.element_spec[0].shape.as_list() == [None, 4, 4, 3]
    for epoch in range(2):
        batches = list(dataset.as_numpy_iterator())
        assert all(equal(batch, data.train.batch(epoch, i)) for i, batch in enumerate(batches))
    small_model().fit(dataset, epochs=2, shuffle=False, verbose=0)


def test_a_subset_has_the_same_images_labels_files_and_digests(data):
    rows = np.array([7, 3, 30])
    fold = data.train.subset(rows, shuffle=False)
    np.testing.assert_array_equal(fold[0][0], data.train.reader.take(rows))
    np.testing.assert_array_equal(fold[0][1], data.train.labels[rows])
    assert fold.files == [data.train.files[row] for row in rows]
    assert fold.digests == [data.train.digests[row] for row in rows]
    assert (fold.batch_size, fold.seed, fold.class_names, fold.task) == (4, 0, ["cat", "dog"], "single_label")


def test_a_subset_is_shuffled_by_its_seed_and_the_epoch(data):
    rows = np.arange(5, 15)
    fold = data.train.subset(rows, seed=3)
    for epoch in range(3):
        order = rows[np.random.default_rng((3, epoch)).permutation(10)]
        np.testing.assert_array_equal(fold.batch(epoch, 1)[1], data.train.labels[order[4:8]])
    assert data.validation.subset(np.arange(4)).shuffle is False
    assert data.train.subset(rows).seed == data.train.seed


def test_a_subset_of_an_oversampled_dataset_draws_its_classes_equally_often(photos):
    for k in range(12):
        (photos / "dog" / f"{k}.png").unlink()
    train = kertl.data.from_directory(photos, image_size=(4, 4), validation=0, test=0).oversampled().train
    fold = train.subset(np.arange(14, 24))
    assert np.bincount(fold.labels).tolist() == [6, 4]
    assert np.bincount(fold.labels[fold.order(0)]).tolist() == [6, 6]
    assert train.subset(np.arange(14, 24), shuffle=False).order(0).tolist() == list(range(10))


def test_a_subset_shares_the_cache_in_memory(photos):
    train = kertl.data.from_directory(photos, image_size=(4, 4), validation=0, test=0, cache="memory").train
    before = train.subset(np.arange(10), shuffle=False)[0][0]
    for file in train.files:
        Path(file).unlink()
    np.testing.assert_array_equal(train.subset(np.arange(3, 8), shuffle=False)[0][0], before[3:8])
    with pytest.raises(DataError, match=r"cannot be opened"):
        train.subset(np.arange(8, 12))[0]


@pytest.mark.parametrize("rows", [[], [0.5], [True] * 32, [[1]], [-1], [32]])
def test_rows_that_the_dataset_does_not_have_are_refused(data, rows):
    with pytest.raises(ValueError, match="`rows` must be"):
        data.train.subset(np.array(rows))


def test_tensorflow_gathers_from_images_in_memory_what_the_dataset_gives(photos):
    options = {"image_size": (4, 4), "validation": 0.25, "test": 0, "batch_size": 4, "seed": 3}
    data = kertl.data.from_directory(photos, cache="memory", **options)
    for train in (data.train, data.train.subset(np.arange(3, 14)), data.oversampled().train):
        assert usable_images(train) is not None
        batches = train.to_tf_dataset()
        for epoch in range(2):
            found = list(batches.as_numpy_iterator())
            assert len(found) == len(train)
            assert all(equal(batch, train.batch(epoch, i)) for i, batch in enumerate(found))
    assert usable_images(kertl.data.from_directory(photos, **options).train) is None  # files may change


def test_a_fit_on_gathered_batches_ends_with_the_same_weights(photos):
    options = {"image_size": (4, 4), "batch_size": 4, "validation": 0.25, "test": 0}
    ends = []
    for given in (lambda dataset: dataset, fit_input):
        keras.utils.set_random_seed(0)
        data, model = kertl.data.from_directory(photos, cache="memory", **options), small_model()
        train, told = given(data.train), [kertl.callbacks.DataEpoch(data.train)]
        history = model.fit(
            train,
            validation_data=given(data.validation),
            epochs=5,
            initial_epoch=2,
            shuffle=False,
            verbose=0,
            callbacks=told,
        )
        ends.append([*model.get_weights(), np.array(history.history["val_loss"])])
    assert isinstance(train, tf.data.Dataset)
    assert all(np.array_equal(one, other) for one, other in zip(*ends, strict=True))


def test_what_is_read_into_a_cache_later_is_seen_by_tensorflow(photos):
    data = kertl.data.from_directory(photos, image_size=(4, 4), cache="memory", validation=0, test=0, batch_size=4)
    batches = data.train.to_tf_dataset()
    assert not data.train.reader.known.any()
    found = list(batches.as_numpy_iterator())
    assert data.train.reader.known.all()
    assert all(equal(batch, data.train.batch(0, i)) for i, batch in enumerate(found))


def test_python_is_asked_for_batches_only_while_images_are_to_be_read(photos, monkeypatch):
    data = kertl.data.from_directory(photos, image_size=(4, 4), cache="memory", validation=0, test=0, batch_size=4)
    filled, fill = [], MemoryReader.fill
    monkeypatch.setattr(MemoryReader, "fill", lambda reader, rows: filled.append(len(rows)) or fill(reader, rows))
    batches = data.train.to_tf_dataset()
    for _ in range(3):
        list(batches)
    assert sum(filled) == data.train.num_examples


def test_a_file_that_is_lost_before_it_is_in_the_cache_is_named(photos):
    data = kertl.data.from_directory(photos, image_size=(4, 4), cache="memory", validation=0, test=0)
    lost = data.train.reader.reader.files[5].path
    data.train.reader.reader.kept = None
    Path(lost).unlink()
    with pytest.raises(DataError) as raised, kertl.data.data_errors(data.train):
        small_model().fit(data.train.to_tf_dataset(), shuffle=False, verbose=0)
    assert_names(raised.value, lost, "No such file")


def test_memory_that_tensorflow_cannot_use_is_left_alone():
    raw = aligned((8 * 4 * 4 * 3 + 1,))
    for unusable in (raw[1:].reshape(8, 4, 4, 3), raw[:-1].reshape(8, 4, 4, 3)[:, ::2]):
        assert usable_images(kertl.data.ImageDataset(ArrayReader(unusable), None, list("abcdefgh"))) is None
