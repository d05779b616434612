import os
from collections import Counter

import numpy as np
import pytest

import kertl.data
from kertl.errors import DataError

TINY = {"image_size": (4, 4)}


def splits(data):
    return {record.file: record.split for record in data.records}


def reasons(data):
    return {issue.path: issue.reason for issue in data.issues}


def message(call, *args, error=DataError, **options):
    with pytest.raises(error) as raised:
        call(*args, **options)
    return str(raised.value)


def random_images(size=40, shape=(4, 4, 3)):
    return np.random.default_rng(0).integers(0, 256, (size, *shape), np.uint8)


@pytest.fixture
def table(tmp_path, save):
    """Writes a table of 40 images with the columns given, and the images."""

    def write(delimiter=",", **columns):
        header = ["file", "label", *columns]
        rows = [header]
        for k in range(40):
            save(tmp_path / "images" / f"{k}.png", (k, k, k))
            rows.append([f"images/{k}.png", "ab"[k % 2], *(values[k] for values in columns.values())])
        (tmp_path / "labels.csv").write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
        return tmp_path / "labels.csv"

    return write


def test_a_folder_per_class_is_split_by_class(photos):
    data = kertl.data.from_directory(photos, **TINY)
    assert data.class_names == ["cat", "dog"]
    assert Counter((record.label, record.split) for record in data.records) == {
        (label, part): size
        for label in ("cat", "dog")
        for part, size in (("train", 14), ("validation", 3), ("test", 3))
    }
    files = [name for part in (data.train, data.validation, data.test) for name in part.files]
    assert sorted(files) == sorted(str(path) for path in photos.rglob("*.png"))
    assert not data.issues


def test_the_split_does_not_depend_on_where_or_in_what_order_the_files_lie(photos, tmp_path, monkeypatch):
    first = kertl.data.from_directory(photos, **TINY)
    walk = os.walk

    def backwards(*args, **options):
        for here, folders, files in walk(*args, **options):
            yield here, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    second = kertl.data.from_directory(photos.rename(tmp_path / "moved"), **TINY)
    assert second.records == first.records
    assert kertl.data.from_directory(tmp_path / "moved", seed=1, **TINY).records != first.records


def test_classes_are_in_natural_order(tmp_path, save):
    for k, name in enumerate(("10", "2", "1")):
        save(tmp_path / name / "a.png", (k, k, k))
    data = kertl.data.from_directory(tmp_path, validation=0, test=0, **TINY)
    assert data.class_names == ["1", "2", "10"]
    assert data.train.labels.tolist() == [0, 2, 1]
    assert data.validation is None
    assert data.test is None


def test_every_file_that_cannot_be_used_is_listed_with_the_reason(photos, save):
    (photos / "cat" / "empty.jpg").touch()
    (photos / "cat" / "text.png").write_text("no picture")
    whole = save(photos / "dog" / "half.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole.write_bytes(whole.read_bytes()[:-2000])
    (photos / "dog" / "link.png").symlink_to(photos / "gone.png")
    (photos / "dog" / "new.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (photos / "beside.png").write_bytes(b"")
    save(photos / "cat" / "._0.png")
    (photos / "cat" / ".DS_Store").touch()
    save(photos / "__MACOSX" / "0.png")
    save(photos / "dog" / ".ipynb_checkpoints" / "0.png")
    (photos / "dog" / "folder.png").mkdir()
    data = kertl.data.from_directory(photos, **TINY)
    found = reasons(data)
    assert found.pop("dog/half.png").startswith("is truncated or damaged: ")
    assert found == {
        "__MACOSX": "is a hidden folder",
        "beside.png": "is in no class folder",
        "cat/._0.png": "is a hidden file",
        "cat/empty.jpg": "is empty (0 bytes)",
        "cat/text.png": "is not a JPEG, PNG, BMP, GIF, WebP or TIFF image",
        "dog/.ipynb_checkpoints": "is a hidden folder",
        "dog/link.png": "is a link to a file that does not exist",
        "dog/new.heic": "is an image in HEIC format, which cannot be read; save it as JPEG or PNG",
    }
    assert len(data.records) == 40
    assert all(issue.left_out for issue in data.issues)


def test_strict_makes_an_issue_an_error(photos):
    (photos / "cat" / "empty.jpg").touch()
    assert message(kertl.data.from_directory, photos, strict=True, **TINY) == (
        "`strict=True` allows no issues, and there are 1: 'cat/empty.jpg' is empty (0 bytes). "
        "Correct or remove these files, or pass strict=False and read `issues`."
    )


def test_folders_in_class_folders_and_links_are_followed_and_loops_end(photos, tmp_path, save):
    save(photos / "cat" / "summer" / "deep.png", (201, 0, 0))
    save(tmp_path / "elsewhere" / "far.png", (202, 0, 0))
    (photos / "dog" / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "dog" / "linked.png").symlink_to(photos / "cat" / "summer" / "deep.png")
    (photos / "cat" / "loop").symlink_to(photos / "cat")
    data = kertl.data.from_directory(photos, **TINY)
    assert len(data.records) == 43
    assert {"cat/summer/deep.png", "dog/linked/far.png", "dog/linked.png"} <= set(splits(data))


def test_files_with_the_same_content_stay_on_one_side_and_are_reported(photos):
    content = (photos / "cat" / "0.png").read_bytes()
    for k in range(10):
        (photos / "cat" / f"copy{k}.png").write_bytes(content)
    for seed in range(5):
        data = kertl.data.from_directory(photos, seed=seed, **TINY)
        found = splits(data)
        assert len({found[name] for name in ("cat/0.png", *(f"cat/copy{k}.png" for k in range(10)))}) == 1
    assert reasons(data)["cat/copy3.png"] == "has the same content as 'cat/0.png'; they stay on one side of the split"
    assert not any(issue.left_out for issue in data.issues)


def test_an_image_in_two_classes_is_reported_for_both_and_stays_on_one_side(photos):
    (photos / "dog" / "cat.png").write_bytes((photos / "cat" / "7.png").read_bytes())
    for seed in range(5):
        data = kertl.data.from_directory(photos, seed=seed, **TINY)
        assert splits(data)["dog/cat.png"] == splits(data)["cat/7.png"]
    assert reasons(data) == {
        "cat/7.png": "has the same content as 'dog/cat.png' of another class, 'dog'",
        "dog/cat.png": "has the same content as 'cat/7.png' of another class, 'cat'",
    }


def test_an_empty_class_folder_is_an_error(photos):
    (photos / "bird").mkdir()
    assert message(kertl.data.from_directory, photos, **TINY) == (
        "Class 'bird' has no image that can be used. Add images of it, or remove it."
    )


def test_a_folder_without_images_says_what_is_expected(tmp_path):
    assert message(kertl.data.from_directory, tmp_path) == (
        f"No images in {str(tmp_path)!r}. One folder per class is expected, such as "
        f"{str(tmp_path / 'cat' / '1.jpg')!r} and {str(tmp_path / 'dog' / '2.jpg')!r}."
    )
    assert message(kertl.data.from_directory, tmp_path / "none") == (
        "`directory` must be a folder that holds one folder per class. "
        f"Received: {str(tmp_path / 'none')!r}, which does not exist."
    )


def test_a_folder_that_is_split_keeps_its_split_and_a_missing_part_is_drawn(photos, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "split" / "val" / name).mkdir(parents=True)
        for k in range(5):
            (photos / name / f"{k}.png").rename(tmp_path / "split" / "val" / name / f"{k}.png")
    photos.rename(tmp_path / "split" / "train")
    data = kertl.data.from_directory(tmp_path / "split", test=0.2, **TINY)
    assert data.class_names == ["cat", "dog"]
    assert {name for name, part in splits(data).items() if part == "validation"} == {
        f"val/{name}/{k}.png" for name in ("cat", "dog") for k in range(5)
    }
    assert Counter(record.split for record in data.records) == {"train": 24, "validation": 10, "test": 6}
    data = kertl.data.from_directory(tmp_path / "split", test=0, **TINY)
    assert Counter(record.split for record in data.records) == {"train": 30, "validation": 10}


def test_one_image_given_to_two_parts_is_reported_and_keeps_both(photos, tmp_path):
    (tmp_path / "split" / "test").mkdir(parents=True)
    for name in ("cat", "dog"):
        (tmp_path / "split" / "test" / name).mkdir()
        content = (photos / name / "0.png").read_bytes()
        (tmp_path / "split" / "test" / name / "same.png").write_bytes(content)
    photos.rename(tmp_path / "split" / "train")
    data = kertl.data.from_directory(tmp_path / "split", validation=0, **TINY)
    assert splits(data)["test/cat/same.png"] == "test"
    assert splits(data)["train/cat/0.png"] == "train"
    assert reasons(data)["train/cat/0.png"] == (
        "has the same content as 'test/cat/same.png'; test is prescribed there and train here"
    )


def test_options_outside_their_range_are_errors(photos):
    def wrong(**options):
        return message(kertl.data.from_directory, photos, error=ValueError, **options)

    assert wrong(image_size=(0, 4)) == (
        "`image_size` must be (height, width), two whole numbers >= 1. Received: image_size=(0, 4)."
    )
    assert wrong(validation=-0.1) == "`validation` must be a number >= 0 and < 1. Received: validation=-0.1."
    assert wrong(validation=0.5, test=0.5) == (
        "`validation` and `test` must leave images for training, so their sum must be below 1. "
        "Received: validation=0.5, test=0.5."
    )
    assert wrong(seed=-1) == "`seed` must be a whole number >= 0. Received: seed=-1."
    assert wrong(batch_size=0) == "`batch_size` must be a whole number >= 1. Received: batch_size=0."
    assert wrong(cache="disk") == "`cache` must be None or 'memory'. Received: cache='disk'."


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_names_files_and_classes(table, delimiter):
    data = kertl.data.from_csv(table(delimiter), **TINY)
    assert data.class_names == ["a", "b"]
    assert Counter((record.label, record.split) for record in data.records) == {
        (label, part): size for label in "ab" for part, size in (("train", 14), ("validation", 3), ("test", 3))
    }
    assert not data.issues


def test_a_group_is_never_on_two_sides(table):
    groups = [str(k // 4) for k in range(40)]
    data = kertl.data.from_csv(table(patient=groups), group_column="patient", **TINY)
    sides = {(groups[int(record.file[7:-4])], record.split) for record in data.records}
    assert len(sides) == 10
    assert {part for _, part in sides} == {"train", "validation", "test"}


def test_stratify_columns_are_spread_alike(table):
    kinds = ["xy"[k // 2 % 2] for k in range(40)]
    data = kertl.data.from_csv(table(kind=kinds), stratify_columns=["kind"], validation=0.2, test=0.2, **TINY)
    counts = Counter((record.label, kinds[int(record.file[7:-4])], record.split) for record in data.records)
    assert counts == {
        (label, kind, part): size
        for label in "ab"
        for kind in "xy"
        for part, size in (("train", 6), ("validation", 2), ("test", 2))
    }


def test_a_split_column_is_kept_and_blanks_are_split(table):
    given = ["train", "train", "test", "test", "", ""] * 6 + [""] * 4
    data = kertl.data.from_csv(table(part=given), split_column="part", validation=0.25, test=0, **TINY)
    found = splits(data)
    assert all(found[f"images/{k}.png"] == part for k, part in enumerate(given) if part)
    assert Counter(found[f"images/{k}.png"] for k, part in enumerate(given) if not part) == {
        "train": 12,
        "validation": 4,
    }


def test_a_part_of_another_name_is_an_error(table):
    path = table(part=["train"] * 39 + ["tests"])
    assert message(kertl.data.from_csv, path, split_column="part") == (
        f"Row 41 of {str(path)!r}: column 'part' must be 'train', 'validation', 'test' or blank. Received: 'tests'. "
        "Did you mean 'test'?"
    )


def test_a_column_that_is_missing_is_an_error_that_lists_those_there(table):
    path = table()
    assert message(kertl.data.from_csv, path, label_column="labels") == (
        f"{str(path)!r} has no column 'labels'. Its columns are ['file', 'label']. Did you mean 'label'?"
    )


def test_rows_that_cannot_be_used_are_listed(table):
    path = table()
    path.write_text(
        path.read_text() + "\nimages/0.png,a\nimages/1.png,a\ngone.png,a\nimages/2.png,\n,a\n",
    )
    data = kertl.data.from_csv(path, **TINY)
    assert [(issue.path, issue.reason, issue.left_out) for issue in data.issues] == [
        ("images/0.png", "is in row 2 and again in row 42; it counts once", False),
        ("images/1.png", "is described differently in rows 3 and 43", True),
        ("images/2.png", "has no label in row 45", True),
        ("", "has no file name in row 46", True),
        ("gone.png", "cannot be opened: No such file or directory", True),
    ]
    assert len(data.records) == 39


def test_tables_that_cannot_be_read_are_errors(tmp_path):
    def wrong(content):
        (tmp_path / "labels.csv").write_bytes(content)
        return message(kertl.data.from_csv, tmp_path / "labels.csv").replace(repr(str(tmp_path / "labels.csv")), "T")

    assert wrong(b"file,label\n\xff.png,a\n") == "The table T is not in UTF-8. Save it as CSV UTF-8."
    assert wrong(b"file,label\na.png\n") == "Row 2 of T has 1 values, but the header has 2 columns."
    assert (
        wrong(b"file,label,file\n") == "The table T has several columns of one name. Its columns are "
        "['file', 'label', 'file']."
    )
    assert wrong(b"file,label\n") == (
        "No images in T: no row has both a file in column 'file' and a class in column 'label'."
    )
    (tmp_path / "labels.csv").unlink()
    assert message(kertl.data.from_csv, tmp_path / "labels.csv") == (
        f"The table {str(tmp_path / 'labels.csv')!r} cannot be opened: No such file or directory."
    )


def test_arrays_keep_their_pixels_and_labels():
    x, y = random_images(), np.arange(40) % 4
    data = kertl.data.from_arrays(x, y)
    assert data.class_names == ["0", "1", "2", "3"]
    assert data.image_size == (4, 4)
    rows = [int(name.removeprefix("array:")) for name in data.train.files]
    images, labels = next(iter(data.train.in_order()))
    np.testing.assert_array_equal(images, x[rows])
    np.testing.assert_array_equal(labels, y[rows])


def test_floats_are_rounded_and_gray_is_repeated():
    x = random_images(shape=(4, 4, 1))
    data = kertl.data.from_arrays(x - 0.25 * (x > 0), ["b", "a"] * 20, validation=0, test=0)
    np.testing.assert_array_equal(data.train.in_order()[0][0], np.repeat(x, 3, -1)[:32])
    assert data.class_names == ["a", "b"]
    assert data.train.labels[:2].tolist() == [1, 0]


def test_arrays_are_resized_as_files_are(tmp_path, save):
    x = random_images(size=2, shape=(9, 9, 1))
    data = kertl.data.from_arrays(x, [0, 0], validation=0, test=0, image_size=(4, 6), resize="crop")
    path = save(tmp_path / "a.png", x[1, ..., 0])
    np.testing.assert_array_equal(data.train.in_order()[0][0][1], kertl.data.read_image(path, (4, 6), "crop"))


def test_equal_images_in_arrays_stay_on_one_side():
    x = random_images()
    x[20:] = x[:20]
    data = kertl.data.from_arrays(x, [0] * 40)
    found = splits(data)
    assert all(found[f"array:{k}"] == found[f"array:{k + 20}"] for k in range(20))
    assert len(data.issues) == 20


def test_arrays_that_do_not_fit_are_errors():
    x = random_images()

    def wrong(x, y, **options):
        return message(kertl.data.from_arrays, x, y, **options)

    assert wrong(x / 255.0, [0] * 40) == (
        f"`x` must hold numbers from 0 to 255. Received: floats from 0 to {(x / 255.0).max():g}. Multiply them by 255."
    )
    assert wrong(x - 300.0, [0] * 40) == "`x` must hold numbers from 0 to 255. Received: values from -300 to -45."
    assert wrong(x[0], [0] * 40) == (
        "`x` must be images of shape (n, height, width, 3) or (n, height, width, 1), at least one. "
        "Received: shape (4, 4, 3)."
    )
    assert wrong(x, [0] * 39) == "`y` must hold one label per image, shape (40,). Received: shape (39,)."
    assert wrong(x, np.eye(40)) == (
        "`y` must hold one label per image, shape (40,). Received: shape (40, 40). "
        "Pass y.argmax(axis=1) for one-hot labels."
    )
    assert wrong(x, [0, 2] * 20) == "Class '1' has no image that can be used. Add images of it, or remove it."
    assert wrong(x, [0, 2] * 20, class_names=["a", "b"]) == ("`y` must hold class ids from 0 to 1. Received: 0 to 2.")
    assert wrong(x, ["cat", "dgo"] * 20, class_names=["cat", "dog"]) == (
        "`y` must hold names in `class_names`, ['cat', 'dog']. Received: 'dgo'. Did you mean 'dog'?"
    )
    assert wrong(x, [0.5] * 40) == "`y` must hold class ids or class names. Received: dtype float64, such as 0.5."
