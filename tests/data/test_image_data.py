import csv
import hashlib

import numpy as np
import pytest
from PIL import Image

import kertl.data
from tests.messages import assert_names


@pytest.fixture
def data(photos):
    for k in range(10):
        (photos / "dog" / f"{k}.png").unlink()
    (photos / "dog" / "empty.png").touch()
    return kertl.data.from_directory(photos, image_size=(4, 4), validation=0.2, test=0)


def test_class_weights_balance_the_training_part(data):
    assert data.class_weights == {0: 24 / (2 * 16), 1: 24 / (2 * 8)}
    assert data.num_classes == 2


def test_the_summary_counts_classes_and_parts_and_lists_issues(data):
    lines = [line.split() for line in data.summary().splitlines()]
    assert ["class", "train", "validation", "test", "all"] in lines
    assert ["cat", "16", "4", "0", "20"] in lines
    assert ["dog", "8", "2", "0", "10"] in lines
    assert ["all", "24", "6", "0", "30"] in lines
    assert_names(data.summary(), "1 issue", "'dog/empty.png'")


def test_the_records_are_sorted_and_written_with_the_digest_of_each_file(data, photos, tmp_path):
    data.write_csv(tmp_path / "data.csv")
    with (tmp_path / "data.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    assert list(rows[0]) == ["file", "label", "split", "sha256"]
    for row, record in zip(rows, data.records, strict=True):
        assert row == vars(record)
        assert row["sha256"] == hashlib.sha256((photos / row["file"]).read_bytes()).hexdigest()


def test_what_was_written_splits_the_images_the_same_way(data, photos, tmp_path):
    data.write_csv(tmp_path / "data.csv")
    again = kertl.data.from_csv(tmp_path / "data.csv", root=photos, split_column="split", image_size=(4, 4), seed=9)
    assert again.records == data.records


def test_equal_images_and_those_of_a_group_are_told_to_belong_together(tmp_path):
    noise = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(noise.integers(0, 255, (8, 8, 3), dtype="uint8")).save(tmp_path / f"{number}.png")
    (tmp_path / "6.png").write_bytes((tmp_path / "1.png").read_bytes())
    groups = ["", "", "p", "p", "", "q", "q", ""]
    rows = "".join(f"{number}.png,{'ab'[number % 2]},{group}\n" for number, group in enumerate(groups))
    (tmp_path / "labels.csv").write_text("file,label,patient\n" + rows)
    found = kertl.data.from_csv(
        tmp_path / "labels.csv", group_column="patient", image_size=(8, 8), validation=0, test=0
    )
    by_file = dict(zip((record.file for record in found.records), found.together, strict=True))
    alike = {frozenset(file for file in by_file if by_file[file] == number) for number in found.together}
    expected = [{"0.png"}, {"1.png", "5.png", "6.png"}, {"2.png", "3.png"}, {"4.png"}, {"7.png"}]
    assert alike == {frozenset(files) for files in expected}


@pytest.mark.parametrize("cache", [None, "memory"])
def test_the_same_images_at_another_size_and_in_other_batches(photos, cache):
    options = {"validation": 0.2, "test": 0.1, "cache": cache}
    data = kertl.data.from_directory(photos, image_size=(8, 8), batch_size=4, **options)
    made = kertl.data.from_directory(photos, image_size=(6, 10), batch_size=7, **options)
    changed = data.changed(image_size=(6, 10), batch_size=7)
    assert (changed.image_size, changed.batch_size, changed.records) == ((6, 10), 7, data.records)
    for part in ("train", "validation", "test"):
        for ours, theirs in zip(getattr(changed, part).batch(1, 0), getattr(made, part).batch(1, 0), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert data.changed() is data
    assert data.changed(batch_size="full").train[0][0].shape == (28, 8, 8, 3)
    with pytest.raises(ValueError, match=r"^`batch_size` must be .*>= 1.*batch_size=-1\. \[range\]$"):
        data.changed(batch_size=-1)


def test_arrays_are_resized_from_the_size_that_they_have():
    x = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    data = kertl.data.from_arrays(x, [0, 1] * 5, validation=0, test=0)
    made = kertl.data.from_arrays(x, [0, 1] * 5, validation=0, test=0, image_size=(12, 6))
    np.testing.assert_array_equal(data.changed(image_size=(12, 6)).train[0][0], made.train[0][0])


def test_data_and_parts_are_shown_in_a_line(photos):
    data = kertl.data.from_directory(photos, image_size=(8, 8), validation=0.2, test=0)
    assert repr(data) == (
        "ImageData(single_label, 2 classes: ['cat', 'dog'], train=32, validation=8, test=0, image_size=(8, 8), "
        "channels=3, batch_size=32, issues=0)"
    )
    assert "32 images, single_label, 2 classes: ['cat', 'dog']" in repr(data.train)
    assert "no labels" in repr(kertl.data.images(photos, image_size=(8, 8)))
    x = np.zeros((1000, 1, 1, 3), np.uint8)
    many = kertl.data.from_arrays(x, [f"{k} " + 100 * "x" for k in range(1000)], validation=0, test=0)
    assert "1000 classes" in repr(many)
    assert "2 targets" in repr(kertl.data.from_arrays(x, np.ones((1000, 2)), task="regression", validation=0, test=0))
    assert len(repr(many)) < 500
    assert len(repr(many.train)) < 500


def test_a_notebook_shows_the_summary_with_names_escaped(tmp_path, save):
    for name in ("a<b>", "dog"):
        save(tmp_path / name / "1.png", (len(name),) * 3)
    shown = kertl.data.from_directory(tmp_path, validation=0, test=0)._repr_html_()
    assert shown.startswith("<pre>")
    assert "a&lt;b&gt;" in shown
    assert "<b>" not in shown
    assert "no issues" in shown


def test_the_root_is_the_folder_that_the_files_of_records_are_in(data, photos, tmp_path):
    assert data.root == photos.absolute()
    assert all((data.root / record.file).is_file() for record in data.records)
    data.write_csv(tmp_path / "data.csv")
    again = kertl.data.from_csv(tmp_path / "data.csv", root=photos, image_size=(4, 4), split_column="split")
    assert again.root == photos.absolute()
    for spelled in ("./{}", "{}"):
        rows = [f"{spelled.format(record.file)},{record.label}" for record in data.records]
        (photos / "labels.csv").write_text("\n".join(["file,label", *rows]))
        listed = kertl.data.from_csv(photos / "labels.csv", image_size=(4, 4), test=0)
        assert all((listed.root / record.file).is_file() for record in listed.records)
    assert kertl.data.from_arrays(np.zeros((4, 4, 4, 3), "uint8"), [0, 1] * 2, validation=0, test=0).root is None
