import logging

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
import kertl.data
from kertl.data import _given, from_arrays, from_dataset
from kertl.errors import DataError
from tests.data import test_backends
from tests.messages import assert_names
from tests.runs import NAMES, classifier, recipe, squares

tf = pytest.importorskip("tensorflow")

X = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), np.uint8)
Y = np.arange(20) % 2


class Batches(keras.utils.PyDataset):
    """Batches of four as a PyDataset of one's own."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    @property
    def num_batches(self):
        return 5

    def __getitem__(self, index):
        chosen = slice(4 * index, 4 * index + 4)
        return self.x[chosen], self.y[chosen]


class Endless(Batches):
    num_batches = None


def stream(x=X, y=Y, size=4):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def content(part):
    """Images and labels in data order."""
    return part.reader.take(np.arange(part.num_examples)), part.labels


def test_arrays_are_the_parts_that_they_were_given_as():
    data = from_dataset((X[:12], Y[:12]), validation=(X[12:16], Y[12:16]), test=[X[16:], list(Y[16:])])
    for part, rows in ((data.train, slice(0, 12)), (data.validation, slice(12, 16)), (data.test, slice(16, 20))):
        images, labels = content(part)
        np.testing.assert_array_equal(images, X[rows])
        np.testing.assert_array_equal(labels, Y[rows])
    assert (data.batch_size, data.image_size, data.class_names) == (32, (6, 5), ["0", "1"])
    assert data.test.files == ["test:0", "test:1", "test:2", "test:3"]
    assert [record.split for record in data.records] == ["train"] * 12 + ["validation"] * 4 + ["test"] * 4
    assert data.train.shuffle
    assert not data.validation.shuffle


def test_digests_are_those_of_arrays_so_that_features_are_found_again():
    mine, theirs = from_dataset((X, Y)), from_arrays(X, Y, validation=0, test=0)
    assert mine.train.digests == theirs.train.digests
    np.testing.assert_array_equal(mine.train.batch(3, 0)[0], theirs.train.batch(3, 0)[0])


@pytest.mark.parametrize("source", [stream, Batches])
def test_batches_give_the_images_and_the_batch_size(source):
    data = from_dataset((X, Y), validation=source(X, Y))
    images, labels = content(data.validation)
    np.testing.assert_array_equal(images, X)
    np.testing.assert_array_equal(labels, Y)
    assert from_dataset(source(X, Y)).batch_size == 4
    assert from_dataset(source(X, Y), batch_size=7).batch_size == 7


def test_a_training_set_that_shuffles_by_itself_gives_the_same_data_each_time(caplog):
    caplog.set_level(logging.INFO, "kertl")
    shuffled = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(20).batch(4)
    one, two = from_dataset(shuffled), from_dataset(shuffled)
    assert one.csv_text() == two.csv_text()
    for index in range(5):
        for left, right in zip(one.train.batch(1, index), two.train.batch(1, index), strict=True):
            np.testing.assert_array_equal(left, right)
    images, labels = content(one.train)
    where = [int(np.flatnonzero((image == X).all(axis=(1, 2, 3)))[0]) for image in images]
    assert sorted(where) == list(range(20))
    np.testing.assert_array_equal(labels, Y[where])
    assert_names(caplog.text, "order", "content")


def test_an_image_dataset_from_a_directory_brings_its_class_names(tmp_path, save):
    for name in ("cat", "dog"):
        for k in range(3):
            save(tmp_path / name / f"{k}.png", (80 * k + (name == "dog"),) * 3)
    for mode, task in (("int", "single_label"), ("categorical", "single_label"), ("binary", "binary")):
        theirs = keras.utils.image_dataset_from_directory(
            tmp_path, label_mode=mode, image_size=(8, 8), batch_size=2, verbose=False
        )
        data = from_dataset(theirs, task=task)
        assert (data.class_names, data.batch_size, data.image_size) == (["cat", "dog"], 2, (8, 8))
        images, labels = content(data.train)
        np.testing.assert_array_equal(images[:, 0, 0, 0] % 2, labels.ravel())
        assert labels.shape == ((6, 1) if task == "binary" else (6,))


def test_one_hot_rows_are_recognised_and_said(caplog):
    caplog.set_level(logging.INFO, "kertl")
    data = from_dataset((X, np.eye(2)[Y]), class_names=["a", "b"])
    assert data.train.labels.tolist() == Y.tolist()
    assert data.train.labels.dtype == np.int32
    assert_names(caplog.text, "one-hot", "2 classes")


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        ("binary", Y, Y[:, None]),
        ("binary", Y[:, None].astype("float32"), Y[:, None]),
        ("binary", Y > 0, Y[:, None]),
        ("single_label", Y.astype("float64"), Y),
        ("single_label", np.array(["0", "1"])[Y], Y),
        ("multi_label", np.stack([Y, 1 - Y, Y], axis=1), np.stack([Y, 1 - Y, Y], axis=1)),
        ("regression", Y + 0.5, Y[:, None] + 0.5),
        ("regression", np.stack([Y, 2.0 * Y], axis=1), np.stack([Y, 2 * Y], axis=1)),
    ],
)
def test_labels_of_each_task_become_what_its_models_are_trained_on(task, labels, expected):
    data = from_dataset((X, labels), validation=(X[:2], labels[:2]), task=task)
    np.testing.assert_array_equal(data.train.labels, expected)
    np.testing.assert_array_equal(data.validation.labels, expected[:2])


def test_classes_go_by_name_where_the_datasets_have_names():
    train, validation = Batches(X, Y), Batches(X, 1 - Y)
    train.class_names, validation.class_names = ["cat", "dog"], ["dog", "cat"]
    data = from_dataset(train, validation=validation)
    np.testing.assert_array_equal(data.validation.labels, data.train.labels)
    assert from_dataset(train, class_names=["dog", "cat"]).train.labels.tolist() == (1 - Y).tolist()
    with pytest.raises(DataError, match="'dog'"):
        from_dataset(train, class_names=["cat", "bird"])


def test_floats_are_rounded_and_said_and_gray_is_repeated(caplog):
    caplog.set_level(logging.INFO, "kertl")
    gray = X[..., :1]
    data = from_dataset(stream((gray - 0.25 * (gray > 0)).astype("float32")))
    assert sorted(data.train.digests) == sorted(from_dataset((gray, Y)).train.digests)
    assert data.train.reader.shape == (6, 5, 3)
    assert "rounded" in caplog.text


def test_images_are_resized_as_those_of_files_are(tmp_path):
    data = from_dataset((X, Y), validation=(X[:3, :, :4], Y[:3]), image_size=(4, 4), resize="crop")
    Image.fromarray(X[2]).save(tmp_path / "2.png")
    np.testing.assert_array_equal(content(data.train)[0][2], kertl.data.read_image(tmp_path / "2.png", (4, 4), "crop"))
    assert data.changed(image_size=(8, 8)).validation[0][0].shape == (3, 8, 8, 3)


def test_an_image_in_two_parts_is_an_issue():
    data = from_dataset((X[:10], Y[:10]), validation=(X[8:], Y[8:]))
    assert {(issue.path, issue.left_out) for issue in data.issues} == {("validation:0", False), ("validation:1", False)}
    for issue in data.issues:
        assert_names(issue.reason, "train", "validation")
    with pytest.raises(DataError, match="strict"):
        from_dataset((X[:10], Y[:10]), validation=(X[8:], Y[8:]), strict=True)


@pytest.mark.parametrize(
    ("train", "options", "error", "named"),
    [
        ((X / 255, Y), {}, DataError, "`train`.*floats from 0 to 1.*255"),
        (stream((X / 255).astype("float32")), {}, DataError, "`train`.*floats from 0 to 1.*255"),
        ((X - 300.0, Y), {}, DataError, "from -300 to -45"),
        ((X[0], Y[:6]), {}, DataError, "shape"),
        ((X, Y[:3]), {}, DataError, "20 images"),
        (X, {}, TypeError, "`train` must be .*ndarray"),
        ("photos", {}, TypeError, "`train` must be .*str"),
        (stream().repeat(), {}, ValueError, "`train` must have an end"),
        (Endless(X, Y), {}, ValueError, "`train` must have an end"),
        (stream().unbatch(), {}, DataError, r"batch\(32\)"),
        (stream().take(0), {}, DataError, "at least one batch"),
        (stream().map(lambda x, y: x), {}, DataError, r"\(images, labels\)"),
        (stream().map(lambda x, y: (x, y, 1.0)), {}, DataError, "sample weights"),
        ((X, Y), {"validation": (X[:, :4], Y)}, DataError, "image_size="),
        ((X, Y), {"validation": 0.2}, TypeError, "`validation` must be"),
        ((X, Y), {"class_names": ["a"]}, DataError, "class ids from 0 to 0"),
        ((X, Y), {"class_names": ["a", "a"]}, ValueError, "class_names"),
        ((X, Y), {"class_names": [0, 1]}, ValueError, "class_names"),
        ((X, Y), {"class_names": ["a", "b", "c"]}, DataError, "'c' has no image"),
        ((X[::2], Y[::2]), {"validation": (X, Y)}, DataError, "'1'"),
        ((X, Y), {"validation": (X, np.array(["0", "1"])[Y])}, DataError, "both kinds"),
        ((X, Y + 0.5), {}, DataError, "class ids or class names"),
        ((X, Y), {"task": "segmentation"}, ValueError, "task"),
        ((X, Y), {"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(train, options, error, named):
    with pytest.raises(error, match=named):
        from_dataset(train, **options)


def test_images_that_do_not_fit_into_half_of_the_free_memory_are_refused_before_they_are_read(monkeypatch):
    monkeypatch.setattr(_given, "free_memory", lambda: 2 * X.nbytes)
    assert from_dataset((X, Y)).train.num_examples == 20
    with pytest.raises(DataError, match=r"`validation` .*free memory, 1\.8 kB.*image_size"):
        from_dataset((X, Y), validation=(X[:1], Y[:1]))
    seen = []

    def note(x, y):
        seen.append(1)
        return x, y

    monkeypatch.setattr(_given, "free_memory", lambda: X.nbytes)
    counted = stream().map(lambda x, y: tf.numpy_function(note, [x, y], [tf.uint8, tf.int64]))
    with pytest.raises(DataError, match="free memory"):
        from_dataset(counted)
    assert len(seen) < 5
    with pytest.raises(DataError, match="free memory"):
        from_dataset(stream().filter(lambda x, y: True))  # of unknown length


@pytest.mark.promise
@pytest.mark.slow
def test_own_data_go_where_other_data_go_and_a_run_on_them_is_found_again(tmp_path):
    squared = squares(8)
    x, y = content(squared.train)
    held_out = content(squared.validation)
    theirs = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(4)
    data = from_dataset(theirs, validation=stream(*held_out), test=content(squared.test), class_names=NAMES)
    run = kertl.fine_tune(classifier(), data, recipe=recipe("deep"), run_dir=tmp_path)
    assert kertl.evaluate(run.model, data.test)["accuracy"] == run.metrics["test"]["accuracy"]
    assert kertl.baselines(classifier(), data).images == {"train": len(x), "validation": 6, "test": 6}
    assert len(kertl.cross_validate(classifier(), data, folds=2).folds) == 2
    again = from_dataset(theirs, validation=held_out, test=content(squared.test), class_names=NAMES)
    assert again.csv_text() == data.csv_text()
    assert kertl.fine_tune(classifier(), again, recipe=recipe("deep"), run_dir=tmp_path).metrics == run.metrics


ON_JAX = """
import sys
sys.modules["tensorflow"] = None
import numpy as np, keras, kertl.data
assert keras.backend.backend() == "jax"
class Batches(keras.utils.PyDataset):
    num_batches = 3
    def __getitem__(self, index):
        x = np.random.default_rng(index).integers(0, 256, (4, 8, 8, 3), np.uint8)
        return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor([0, 1, 0, 1])
batch = Batches()[0]
data = kertl.data.from_dataset(Batches(), validation=(np.asarray(batch[0]), [0, 1, 0, 1]))
assert data.train.num_examples == 12 and data.train.labels.tolist() == [0, 1] * 6
assert len(data.issues) == 4
"""


@pytest.mark.promise
@pytest.mark.slow
def test_arrays_and_py_datasets_need_no_tensorflow():
    test_backends.run(ON_JAX, backend="jax")
