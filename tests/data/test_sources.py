import os
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import kertl.data
from kertl.errors import DataError
from tests.messages import assert_each_names, assert_names

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
    expected = {
        "__MACOSX": ("hidden folder",),
        "beside.png": ("no class folder",),
        "cat/._0.png": ("hidden file",),
        "cat/empty.jpg": ("0 bytes",),
        "cat/text.png": ("not a JPEG",),
        "dog/.ipynb_checkpoints": ("hidden folder",),
        "dog/half.png": ("damaged",),
        "dog/link.png": ("link", "does not exist"),
        "dog/new.heic": ("HEIC format", "JPEG or PNG"),
    }
    assert_each_names(reasons(data), expected)
    assert len(data.records) == 40
    assert all(issue.left_out for issue in data.issues)


def test_strict_makes_an_issue_an_error(photos):
    (photos / "cat" / "empty.jpg").touch()
    found = message(kertl.data.from_directory, photos, strict=True, **TINY)
    assert_names(found, "`strict=True`", "1", "'cat/empty.jpg'", "0 bytes", "strict=False", "`issues`")


def test_folders_in_class_folders_and_links_are_followed_and_loops_end(photos, tmp_path, save):
    save(photos / "cat" / "summer" / "deep.png", (201, 0, 0))
    save(tmp_path / "elsewhere" / "far.png", (202, 0, 0))
    (photos / "dog" / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "dog" / "linked.png").symlink_to(tmp_path / "elsewhere" / "one.png")
    save(tmp_path / "elsewhere" / "one.png", (203, 0, 0))
    (photos / "cat" / "loop").symlink_to(photos / "cat")
    data = kertl.data.from_directory(photos, **TINY)
    assert len(data.records) == 44
    assert {"cat/summer/deep.png", "dog/linked/far.png", "dog/linked.png"} <= set(splits(data))


def test_what_lies_in_the_folder_of_another_class_is_not_taken_through_a_link(photos, tmp_path, save):
    (photos / "cat" / "up").symlink_to("..")
    (photos / "cat" / "dogs").symlink_to(photos / "dog")
    (photos / "cat" / "dog.png").symlink_to(photos / "dog" / "0.png")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "dogs").symlink_to(photos / "dog")
    (photos / "cat" / "outside").symlink_to(tmp_path / "outside")
    (photos / "dog" / "own").symlink_to(photos / "dog")
    data = kertl.data.from_directory(photos, **TINY)
    assert set(splits(data)) == {f"{name}/{k}.png" for name in ("cat", "dog") for k in range(20)}
    expected = {
        "cat/up": ("around", "not followed"),
        "cat/dogs": ("link", repr(str(photos / "dog"))),
        "cat/dog.png": ("link", repr(str(photos / "dog"))),
        "cat/outside/dogs": ("link", repr(str(photos / "dog"))),
    }
    assert_each_names(reasons(data), expected)
    (photos / "bird").symlink_to(photos / "dog")
    found = message(kertl.data.from_directory, photos, **TINY)
    assert_names(found, "'bird'", "link", repr(str(photos / "dog")))


def test_no_link_takes_an_image_from_the_test_set_into_training(photos, tmp_path):
    (tmp_path / "split" / "test").mkdir(parents=True)
    for name in ("cat", "dog"):
        (tmp_path / "split" / "test" / name).mkdir()
        (photos / name / "0.png").rename(tmp_path / "split" / "test" / name / "0.png")
    photos.rename(tmp_path / "split" / "train")
    (tmp_path / "split" / "train" / "cat" / "more").symlink_to(tmp_path / "split" / "test" / "cat")
    data = kertl.data.from_directory(tmp_path / "split", validation=0, **TINY)
    assert Counter(record.split for record in data.records) == {"train": 38, "test": 2}
    assert list(reasons(data)) == ["train/cat/more"]


def test_files_with_the_same_content_stay_on_one_side_and_are_reported(photos):
    content = (photos / "cat" / "0.png").read_bytes()
    for k in range(10):
        (photos / "cat" / f"copy{k}.png").write_bytes(content)
    for seed in range(5):
        data = kertl.data.from_directory(photos, seed=seed, **TINY)
        found = splits(data)
        assert len({found[name] for name in ("cat/0.png", *(f"cat/copy{k}.png" for k in range(10)))}) == 1
    assert_names(reasons(data)["cat/copy3.png"], "same content", "'cat/0.png'")
    assert not any(issue.left_out for issue in data.issues)


def test_an_image_in_two_classes_is_reported_for_both_and_stays_on_one_side(photos):
    (photos / "dog" / "cat.png").write_bytes((photos / "cat" / "7.png").read_bytes())
    for seed in range(5):
        data = kertl.data.from_directory(photos, seed=seed, **TINY)
        assert splits(data)["dog/cat.png"] == splits(data)["cat/7.png"]
    expected = {"cat/7.png": ("'dog/cat.png'", "'dog'"), "dog/cat.png": ("'cat/7.png'", "'cat'")}
    assert_each_names(reasons(data), expected)


def test_every_copy_of_an_image_in_two_classes_is_counted(photos):
    content = (photos / "cat" / "7.png").read_bytes()
    for name in ("cat/8.png", "cat/9.png", "dog/7.png", "dog/8.png", "dog/9.png"):
        (photos / name).write_bytes(content)
    issues = kertl.data.from_directory(photos, **TINY).issues
    assert len(issues) == 6
    for issue in issues:
        twin = "'dog/7.png'" if issue.path.startswith("cat") else "'cat/7.png'"
        assert_names(issue.reason, "same content", twin, "of another class")


def test_an_empty_class_folder_is_an_error(photos):
    (photos / "bird").mkdir()
    assert_names(message(kertl.data.from_directory, photos, **TINY), "'bird'", "no image")


def test_a_folder_without_images_says_what_is_expected(tmp_path):
    found = message(kertl.data.from_directory, tmp_path)
    assert_names(found, repr(str(tmp_path)), tmp_path / "cat" / "1.jpg", tmp_path / "dog" / "2.jpg")
    assert_names(
        message(kertl.data.from_directory, tmp_path / "none"), "`directory`", tmp_path / "none", "does not exist"
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
    assert_names(reasons(data)["train/cat/0.png"], "'test/cat/same.png'", "test is", "train")


def test_options_outside_their_range_are_errors(photos):
    def wrong(*named, **options):
        assert_names(message(kertl.data.from_directory, photos, error=ValueError, **options), *named)

    wrong("`image_size`", "(height, width)", "image_size=(0, 4)", image_size=(0, 4))
    wrong("`validation`", ">= 0", "< 1", "validation=-0.1", validation=-0.1)
    wrong("`validation`", "`test`", "validation=0.5, test=0.5", validation=0.5, test=0.5)
    wrong("`seed`", ">= 0", "seed=-1", seed=-1)
    wrong("`batch_size`", ">= 1", "batch_size=0", batch_size=0)
    wrong("`cache`", "None", "'memory'", "cache='disk'", cache="disk")


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
    found = message(kertl.data.from_csv, path, split_column="part")
    assert_names(found, "Row 41", path, "'part'", "'train'", "'validation'", "'tests'", "Did you mean 'test'")


def test_a_column_that_is_missing_is_an_error_that_lists_those_there(table):
    path = table()
    found = message(kertl.data.from_csv, path, label_column="labels")
    assert_names(found, path, "'labels'", "['file', 'label']", "Did you mean 'label'")


def test_rows_that_cannot_be_used_are_listed(table):
    path = table()
    path.write_text(
        path.read_text() + "\nimages/0.png,a\nimages/1.png,a\ngone.png,a\nimages/2.png,\n,a\n",
    )
    data = kertl.data.from_csv(path, **TINY)
    assert [(issue.path, issue.left_out) for issue in data.issues] == [
        ("images/0.png", False),
        ("images/1.png", True),
        ("images/2.png", True),
        ("", True),
        ("gone.png", True),
    ]
    named = [("2", "42"), ("3", "43"), ("label", "45"), ("file name", "46"), ("No such file or directory",)]
    for issue, parts in zip(data.issues, named, strict=True):
        assert_names(issue.reason, *parts)
    assert len(data.records) == 39


def test_tables_that_cannot_be_read_are_errors(tmp_path):
    table = tmp_path / "labels.csv"

    def wrong(content, *named):
        table.write_bytes(content)
        assert_names(message(kertl.data.from_csv, table), table, *named)

    wrong(b"file,label\n\xff.png,a\n", "UTF-8")
    wrong(b"file,label\na.png\n", "Row 2", "1 values", "2 columns")
    wrong(b"file,label,file\n", "['file', 'label', 'file']")
    wrong(b"file,label\n", "No images", "'file'", "'label'")
    table.unlink()
    assert_names(message(kertl.data.from_csv, table), table, "No such file or directory")


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

    def wrong(x, y, *named, **options):
        assert_names(message(kertl.data.from_arrays, x, y, **options), *named)

    wrong(x / 255.0, [0] * 40, "`x`", "0 to 255", f"0 to {(x / 255.0).max():g}", "by 255", "value_range=(0, 1)")
    wrong(x - 300.0, [0] * 40, "`x`", "0 to 255", "-300 to -45")
    wrong(x[0], [0] * 40, "`x`", "(n, height, width, channels)", "(4, 4, 3)")
    wrong(x, [0] * 39, "`y`", "(40,)", "(39,)")
    wrong(x, np.eye(40), "`y`", "(40,)", "(40, 40)", "y.argmax(axis=1)")
    wrong(x, [0, 2] * 20, "'1'", "no image")
    wrong(x, [0, 2] * 20, "`y`", "0 to 1", "0 to 2", class_names=["a", "b"])
    wrong(
        x, ["cat", "dgo"] * 20, "`y`", "`class_names`", "['cat', 'dog']", "'dgo'", "'dog'?", class_names=["cat", "dog"]
    )
    wrong(x, [0.5] * 40, "`y`", "float64", "0.5")


def test_class_folders_that_differ_in_case_alone_are_said(tmp_path):
    random = np.random.default_rng(0)
    for name in ("Cat", "cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = random.integers(0, 256, (8, 8, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    data = kertl.data.from_directory(tmp_path, image_size=(8, 8), validation=0.25, test=0)
    (issue,) = [issue for issue in data.issues if "case alone" in str(issue)]
    assert_names(issue, "'Cat'", "'cat'")
