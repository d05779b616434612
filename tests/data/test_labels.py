import csv
import enum

import keras
import numpy as np
import pytest

import kertl
from kertl.errors import DataError
from kertl.tasks import TASKS
from tests.messages import assert_names

TINY = {"image_size": (4, 4)}


@pytest.fixture
def table(tmp_path, save):
    """Writes a CSV of 40 pictures with the columns given."""

    def write(name="labels.csv", rows=40, **columns):
        with (tmp_path / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", *columns])
            for k in range(rows):
                save(tmp_path / f"{k}.png", (k, 0, 0), size=(4, 4))
                writer.writerow([f"{k}.png", *(values[k] for values in columns.values())])
        return tmp_path / name

    return write


def message(function, *arguments, error=ValueError, **options):
    with pytest.raises(error) as raised:
        function(*arguments, **options)
    return str(raised.value)


def by_file(data):
    """The labels of each file, over all parts."""
    parts = [part for part in (data.train, data.validation, data.test) if part is not None]
    return {
        file.rpartition("/")[2]: label.tolist()
        for part in parts
        for file, label in zip(part.files, part.labels, strict=True)
    }


TAGS = ["a", "b;a", "", "b"] * 10


def test_names_with_a_separator_become_rows_of_zero_and_one(table):
    data = kertl.data.from_csv(table(tags=TAGS), task="multi_label", label_column="tags", separator=";", **TINY)
    assert (data.task, data.class_names) == ("multi_label", ["a", "b"])
    expected = {f"{k}.png": [float("a" in tags), float("b" in tags)] for k, tags in enumerate(TAGS)}
    assert by_file(data) == expected
    images, labels = data.train[0]
    assert (labels.dtype, labels.shape) == (np.dtype("float32"), (len(images), 2))


def test_columns_of_flags_become_the_same_labels(table):
    flags = {name: [str(int(name in tags)) for tags in TAGS] for name in "ba"}
    flags["b"] = [{"0": "False", "1": "1.0"}[value] for value in flags["b"]]
    columns = kertl.data.from_csv(table(**flags), task="multi_label", label_column=("b", "a"), **TINY)
    names = kertl.data.from_csv(table(tags=TAGS), task="multi_label", label_column="tags", separator=";", **TINY)
    assert columns.class_names == ["a", "b"]
    assert by_file(columns) == by_file(names)
    assert columns.records == names.records


def test_blank_and_repeated_names_are_passed_over(table):
    data = kertl.data.from_csv(
        table(tags=["a; b ;;a", "b|a"] * 20), task="multi_label", label_column="tags", separator=";", **TINY
    )
    assert data.class_names == ["a", "b", "b|a"]
    assert by_file(data)["0.png"] == [1, 1, 0]


def test_targets_are_the_numbers_of_their_columns(table):
    age, size = [str(k / 7) for k in range(40)], [f"{k}e3" for k in range(40)]
    data = kertl.data.from_csv(table(size=size, age=age), task="regression", label_column=["size", "age"], **TINY)
    assert (data.task, data.class_names) == ("regression", ["size", "age"])
    found = by_file(data)
    for k in range(40):
        np.testing.assert_array_equal(found[f"{k}.png"], np.array([k * 1000, k / 7], "float32"))
    assert data.train.labels.dtype == np.float32


def test_two_classes_become_a_column_whose_one_is_the_second_class(table):
    kinds = ["no", "yes", "no", "no"] * 10
    data = kertl.data.from_csv(table(kind=kinds), task="binary", label_column="kind", **TINY)
    assert data.class_names == ["no", "yes"]
    assert by_file(data) == {f"{k}.png": [float(kind == "yes")] for k, kind in enumerate(kinds)}
    turned = kertl.data.from_csv(
        table(kind=kinds), task="binary", label_column="kind", class_names=["yes", "no"], **TINY
    )
    assert by_file(turned) == {f"{k}.png": [float(kind == "no")] for k, kind in enumerate(kinds)}
    assert data.class_weights == {0: 28 / (2 * 21), 1: 28 / (2 * 7)}


@pytest.mark.parametrize("value", ["inf", "-Infinity", "old", "1_000", "3,5", "1e60"])
def test_a_target_that_is_no_number_is_an_error_that_names_row_file_column_and_value(table, value):
    path = table(age=["1", value, *["2"] * 38])
    found = message(kertl.data.from_csv, path, task="regression", label_column="age", error=DataError)
    assert_names(found, "Row 3", path, "'1.png'", "'age'", repr(value))


def test_a_flag_that_is_none_is_an_error_that_names_row_file_column_and_value(table):
    path = table(a=["1"] * 40, b=["0", "2", *["1"] * 38])
    found = message(kertl.data.from_csv, path, task="multi_label", label_column=["a", "b"], error=DataError)
    assert_names(found, "Row 3", path, "'1.png'", "'b'", "0 or 1", "'2'")


def test_a_row_without_a_target_is_left_out_and_listed(table):
    data = kertl.data.from_csv(table(age=["", *map(str, range(39))]), task="regression", label_column="age", **TINY)
    (issue,) = data.issues
    assert_names(issue, "'0.png'", "label", "row 2")
    assert len(data.records) == 39


@pytest.mark.parametrize(
    ("task", "columns", "options"),
    [
        ("multi_label", {"tags": TAGS}, {"label_column": "tags", "separator": ";"}),
        ("multi_label", {n: [int(n in t) for t in TAGS] for n in "ab"}, {"label_column": ["a", "b"]}),
        ("binary", {"kind": ["no", "yes"] * 20}, {"label_column": "kind"}),
        (
            "regression",
            {"x": [k / 3 for k in range(40)], "y": [k * 1e-9 for k in range(40)]},
            {"label_column": ["x", "y"]},
        ),
    ],
)
def test_what_was_written_splits_and_labels_the_images_the_same_way(task, columns, options, table, tmp_path):
    data = kertl.data.from_csv(table(**columns), task=task, **options, **TINY)
    data.write_csv(tmp_path / "data.csv")
    names = {"class_names": data.class_names} if task == "regression" else {}
    again = kertl.data.from_csv(
        tmp_path / "data.csv",
        task=task,
        separator=None if task == "binary" else ";",
        split_column="split",
        seed=9,
        **names,
        **TINY,
    )
    assert again.records == data.records
    assert again.class_names == data.class_names
    np.testing.assert_array_equal(again.train.labels, data.train.labels)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)


def test_arguments_that_do_not_go_with_the_task_are_errors(table):
    path = table(tags=TAGS, kind=["x", "y", "z", "x"] * 10)

    def wrong(*named, **options):
        assert_names(message(kertl.data.from_csv, path, **options), *named)

    wrong("`separator`", "separator=None", "'tags'", "`label_column`", task="multi_label", label_column="tags")
    wrong("`label_column`", "label_column=['tags', 'kind']", "task='multi_label'", label_column=["tags", "kind"])
    wrong("`separator`", "None", "separator=';'", label_column="tags", separator=";")
    wrong("`separator`", "number", "separator='-'", task="regression", label_column="kind", separator="-")
    wrong("two classes", "3", "['x', 'y', 'z']", "task='single_label'", task="binary", label_column="kind")
    wrong("`class_names`", "class_names=['x', 'y']", "'z'", label_column="kind", class_names=["x", "y"])
    wrong("`task`", "'binary'", "task='multi'", "Did you mean 'multi_label'", task="multi", label_column="kind")


def test_a_table_without_any_label_is_an_error(table):
    path = table(tags=[""] * 40)
    options = {"task": "multi_label", "label_column": "tags", "separator": ";"}
    assert_names(message(kertl.data.from_csv, path, **options), "No image", "label", "blank")


def test_columns_that_name_the_targets_are_not_renamed(table):
    path = table(x=range(40), y=range(40))
    found = message(kertl.data.from_csv, path, task="regression", label_column=["x", "y"], class_names=["y", "x"])
    assert_names(found, "`class_names`", "left out", "class_names=['y', 'x']")


def test_rows_with_different_numbers_of_targets_are_an_error(table):
    path = table(xy=["1;2", *["1;2;3"] * 39])
    found = message(kertl.data.from_csv, path, task="regression", label_column="xy", separator=";")
    assert_names(found, "'xy'", "[2, 3]")


def test_a_folder_may_be_two_classes_in_the_order_given(photos):
    data = kertl.data.from_directory(photos, task="binary", class_names=["dog", "cat"], **TINY)
    assert (data.task, data.class_names) == ("binary", ["dog", "cat"])
    assert {float(label) for file, (label,) in by_path(data) if "/cat/" in file} == {1.0}
    assert {float(label) for file, (label,) in by_path(data) if "/dog/" in file} == {0.0}
    found = message(kertl.data.from_directory, photos, task="regression")
    assert_names(found, "`task`", "'single_label'", "'binary'", "task='regression'", "`from_csv`", "`from_arrays`")


def by_path(data):
    return [*zip(data.train.files, data.train.labels, strict=True)]


def pictures(count=40):
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)


def test_arrays_of_each_task_give_their_rows_in_order():
    random = np.random.default_rng(1)
    flags, targets = random.integers(0, 2, (40, 3)), random.normal(size=(40, 2))
    for task, y in (("multi_label", flags), ("multi_label", flags.astype(bool)), ("regression", targets)):
        data = kertl.data.from_arrays(pictures(), y, task=task)
        rows = [int(name.removeprefix("array:")) for name in data.train.files]
        np.testing.assert_array_equal(data.train.labels, y[rows].astype("float32"))
    data = kertl.data.from_arrays(pictures(), targets[:, 0], task="regression", class_names=["age"])
    assert (data.class_names, data.train.labels.shape[1]) == (["age"], 1)
    data = kertl.data.from_arrays(pictures(), flags[:, 0].astype(bool), task="binary")
    rows = [int(name.removeprefix("array:")) for name in data.train.files]
    np.testing.assert_array_equal(data.train.labels, flags[rows, :1].astype("float32"))


def test_arrays_that_do_not_fit_the_task_are_errors():
    def wrong(y, *named, **options):
        assert_names(message(kertl.data.from_arrays, pictures(), y, error=DataError, **options), *named)

    flags = np.zeros((40, 2))
    flags[3, 1] = 0.5
    wrong(flags, "`y`", "(40, classes)", "0.5", task="multi_label")
    wrong([0, 1] * 20, "`y`", "(40, classes)", "int64", "(40,)", task="multi_label")
    targets = np.ones((40, 2))
    targets[5, 1] = np.nan
    wrong(targets, "`y`", "image 5", "'y'", "nan", task="regression", class_names=["x", "y"])
    wrong(["1"] * 40, "`y`", "(40, targets)", "<U1", "(40,)", task="regression")
    wrong(np.eye(2)[[0, 1] * 20], "';'", "'a;b'", task="multi_label", class_names=["a;b", "c"])


def test_class_weights_are_refused_where_an_image_has_no_single_class():
    data = kertl.data.from_arrays(pictures(), np.eye(2)[[0, 1] * 20], task="multi_label")
    with pytest.raises(ValueError, match=r"`class_weights` .*one class per image.*task='multi_label'"):
        _ = data.class_weights


def test_the_target_scaling_is_mean_and_spread_of_the_training_part():
    y = np.random.default_rng(0).normal(5, 3, (40, 2)) * [1, 1000]
    data = kertl.data.from_arrays(pictures(), y, task="regression")
    means, spreads = data.target_scaling
    np.testing.assert_allclose(means, data.train.labels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(spreads, data.train.labels.std(axis=0), rtol=1e-5)
    assert kertl.data.from_arrays(pictures(), [0, 1] * 20).target_scaling is None
    constant = kertl.data.from_arrays(pictures(), [0.1] * 40, task="regression", class_names=["age"])
    with pytest.raises(DataError, match=r"'age' is 0\.1"):
        _ = constant.target_scaling


def test_the_summary_of_several_labels_counts_images_without_any():
    y = np.array([[1, 0], [1, 1], [0, 0], [1, 0]] * 10)
    data = kertl.data.from_arrays(pictures(), y, task="multi_label", class_names=["cat", "dog"], validation=0, test=0.5)
    lines = [line.split() for line in data.summary().splitlines()]
    assert ["cat", "15", "0", "15", "30"] in lines
    assert ["dog", "5", "0", "5", "10"] in lines
    assert ["(none)", "5", "0", "5", "10"] in lines
    assert ["all", "20", "0", "20", "40"] in lines


def test_the_summary_of_targets_gives_their_spread_in_each_part():
    data = kertl.data.from_arrays(pictures(), np.arange(40.0), task="regression", class_names=["age"], validation=0)
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in data.summary().splitlines()}
    assert rows["age", "all"] == ["40", "19.5", "11.5434", "0", "39"]
    test = data.test.labels[:, 0]
    assert rows["age", "test"][:2] == [str(len(test)), f"{test.mean():.6g}"]
    assert ("age", "validation") not in rows


def test_one_image_with_two_labels_is_reported():
    x = pictures()
    x[1] = x[0]
    data = kertl.data.from_arrays(x, np.arange(40.0), task="regression")
    for issue, named in zip(data.issues, [("'array:1'", "'1.0'"), ("'array:0'", "'0.0'")], strict=True):
        assert_names(issue.reason, *named)
    splits = {record.file: record.split for record in data.records}
    assert splits["array:0"] == splits["array:1"]


def test_groups_stay_together_in_every_task(table):
    groups = [k // 4 for k in range(40)]
    path = table(tags=TAGS, age=range(40), patient=groups)
    for options in (
        {"task": "multi_label", "label_column": "tags", "separator": ";"},
        {"task": "regression", "label_column": "age"},
    ):
        data = kertl.data.from_csv(path, group_column="patient", validation=0.2, test=0.2, **options, **TINY)
        sides = {(groups[int(record.file[:-4])], record.split) for record in data.records}
        assert len(sides) == 10
        assert {part for _, part in sides} == {"train", "validation", "test"}


def test_labels_are_counted_in_a_models_own_list():
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 10)
    data = kertl.data.from_arrays(pictures(), y, task="multi_label", class_names=["cat", "dog"], validation=0, test=0)
    found = data.train.relabelled(["dog", "eel", "cat"])
    np.testing.assert_array_equal(found.labels, np.stack([y[:, 1], np.zeros(40), y[:, 0]], axis=1))
    single = kertl.data.from_arrays(pictures(), ["yes"] * 40, validation=0, test=0).train
    two = single.relabelled(["no", "yes"], "binary")
    assert (two.task, two.labels.shape, two.labels.dtype) == ("binary", (40, 1), np.dtype("float32"))
    assert (two.labels == 1).all()
    with pytest.raises(DataError, match=r"task 'multi_label'.*'single_label'"):
        single.relabelled(["yes"], "multi_label")
    targets = kertl.data.from_arrays(pictures(), np.arange(40.0), task="regression", class_names=["x"]).train
    with pytest.raises(DataError, match=r"\['x', 'y'\].* \['x'\]"):
        targets.relabelled(["x", "y"])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the method is about TensorFlow")
@pytest.mark.parametrize("task", ["binary", "multi_label", "regression"])
def test_the_tf_dataset_has_the_labels_of_the_task(task):
    y = [0, 1] * 20 if task == "binary" else np.eye(2)[[0, 1] * 20]
    data = kertl.data.from_arrays(pictures(), y, task=task, validation=0, test=0)
    images, labels = next(iter(data.train.to_tf_dataset()))
    expected = data.train.batch(0, 0)
    np.testing.assert_array_equal(images, expected[0])
    np.testing.assert_array_equal(labels, expected[1])


@pytest.mark.parametrize("name", [" cat", "cat\u00a0", "cat;dog", " "])
def test_a_name_that_would_not_come_back_from_a_table_is_refused_for_several_labels(name):
    options = {"task": "multi_label", "class_names": [name, "eel"]}
    found = message(kertl.data.from_arrays, pictures(), np.eye(2)[[0, 1] * 20], **options)
    assert_names(found, "separator ';'", "blanks", repr(name))


def test_classes_that_are_many_numbers_come_with_a_word_on_regression(table, caplog):
    def told(rows, **columns):
        caplog.clear()
        path = table(rows=rows, **columns)
        kertl.data.from_csv(path, label_column="age", validation=0, test=0, strict=True, **TINY)
        return [record.message for record in caplog.records if "regression" in record.message]

    (said,) = told(40, age=[str(20 + k // 2 % 13) for k in range(40)])
    assert_names(said, "13 different numbers", "task='regression'", "--task regression")
    assert not told(40, age=["1", "2"] * 20)
    assert not told(130, age=[str(k % 13) for k in range(130)])


def test_a_class_for_every_number_is_refused_with_a_word_on_regression(table):
    found = message(kertl.data.from_csv, table(age=[f"{k / 7:.3f}" for k in range(40)]), label_column="age", **TINY)
    assert_names(found, "task='regression'", "--task regression")
    found = message(kertl.data.from_csv, table(age=[f"n{k}" for k in range(40)]), label_column="age", **TINY)
    assert "regression" not in found


class Animal(str, enum.Enum):  # noqa: UP042 (the text of a StrEnum is its value)
    CAT = "cat"
    DOG = "dog"


class Number(enum.IntEnum):
    ZERO = 0
    ONE = 1


class Side(enum.Enum):
    LEFT = "left"


X = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), np.uint8)
LABELS = ["cat", "dog"] * 10


@pytest.mark.parametrize(
    ("y", "names"),
    [
        ((label for label in LABELS), ["cat", "dog"]),
        (map(str, LABELS), ["cat", "dog"]),
        (dict(enumerate(LABELS)).values(), ["cat", "dog"]),
        ([Animal(label) for label in LABELS], ["cat", "dog"]),
        (np.array([Animal(label) for label in LABELS], dtype=object), ["cat", "dog"]),
        ([Number.ZERO, Number.ONE] * 10, ["0", "1"]),
        (np.array([0, 1] * 10, dtype=object), ["0", "1"]),
    ],
)
def test_labels_are_taken_in_every_form_that_holds_them(y, names):
    data = kertl.data.from_arrays(X, y, validation=0, test=0)
    assert data.class_names == names
    assert data.train.labels.tolist() == [0, 1] * 10


def test_labels_of_a_dataset_of_ones_own_are_taken_in_the_same_forms():
    data = kertl.data.from_dataset((X, [Animal(label) for label in LABELS]))
    assert data.class_names == ["cat", "dog"]
    assert data.train.labels.tolist() == [0, 1] * 10


def test_numbers_of_dtype_object_are_targets_and_several_labels_too():
    y = np.array([1, 2.5] * 10, dtype=object)
    data = kertl.data.from_arrays(X, y, task="regression", validation=0, test=0)
    assert data.train.labels.ravel().tolist() == [1, 2.5] * 10
    rows = np.array([[1, 0], [0, 1]] * 10, dtype=object)
    data = kertl.data.from_arrays(X, rows, task="multi_label", validation=0, test=0)
    assert data.train.labels.tolist() == rows.tolist()


def test_a_size_may_hold_numbers_of_numpy():
    for size in (np.array([8, 6]), (np.int64(8), np.int32(6))):
        data = kertl.data.from_arrays(X, LABELS, image_size=size)
        assert data.image_size == data.train.changed(image_size=size).image_size == (8, 6)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([Side.LEFT] * 20, "a member of an enumeration. Pass the `value` or the `name`"),
        (np.array([True, 2] * 10, dtype=object), "dtype object, such as True"),
        (np.array([0, None] * 10, dtype=object), "dtype object, such as 0"),
        (np.array([0, 10**400] * 10, dtype=object), "dtype object, such as 0"),
        (set(LABELS), "shape ()"),
    ],
)
def test_labels_that_could_be_taken_for_others_are_refused(y, said):
    assert said in message(kertl.data.from_arrays, X, y, error=DataError)


@pytest.mark.parametrize("task", ["single_label", "binary"])
def test_names_without_an_order_are_refused_wherever_data_are_made(task, photos, table):
    for names in ({"cat", "dog"}, "cat"):
        for make, *given in (
            (kertl.data.from_arrays, X, LABELS),
            (kertl.data.from_dataset, (X, LABELS)),
            (kertl.data.from_directory, photos),
            (kertl.data.from_csv, table(label=LABELS * 2)),
        ):
            said = message(make, *given, task=task, class_names=names)
            assert "`class_names` must be a list of names, in the order of the labels. Received" in said


def test_a_task_of_its_own_whose_labels_are_numbers_is_read_like_a_regression(table, monkeypatch):
    # What docs/contributing/task.md promises of a task that inherits from `Regression`.
    counts = type("Counts", (type(TASKS["regression"]),), {"name": "counts"})
    monkeypatch.setitem(TASKS, "counts", counts())
    path = table(cells=[str(k % 7) for k in range(40)])
    of_table = kertl.data.from_csv(path, task="counts", label_column="cells", **TINY)
    pictures = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), "uint8")
    of_arrays = kertl.data.from_arrays(pictures, np.arange(40) % 7, task="counts", class_names=["cells"])
    assert of_table.task == of_arrays.task == "counts"
    assert by_file(of_table) == {f"{k}.png": [k % 7] for k in range(40)}
    assert set(of_arrays.train.labels.ravel().tolist()) <= set(range(7))
    assert of_arrays.train.labels.dtype == np.float32
    assert "1 targets: ['cells']" in str(of_table)
