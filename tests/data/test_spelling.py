"""Labels in tables, read as a person reads them."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.errors import DataError
from tests.messages import assert_names


def table(folder, labels, header="file,label"):
    """A table of one picture for each label."""
    for number in range(len(labels)):
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    rows = [f'{number}.png,"{label}"' for number, label in enumerate(labels)]
    (folder / "labels.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    return folder / "labels.csv"


def read(path, **options):
    return kertl.data.from_csv(path, **{"image_size": (8, 8), "validation": 0, "test": 0, **options})


@pytest.mark.parametrize("missing", ["nan", "NaN", "None", "NA", "N/A", "null", "", "  ", "\u00a0", "\u200b"])
def test_what_says_that_there_is_no_label_is_a_missing_one(tmp_path, missing):
    data = read(table(tmp_path, ["cat", "dog", missing]))
    assert data.class_names == ["cat", "dog"]
    (issue,) = data.issues
    assert (issue.path, issue.left_out) == ("2.png", True)
    assert_names(issue.reason, "label", 4)


def test_a_class_that_is_asked_for_by_name_is_no_missing_label(tmp_path):
    data = read(table(tmp_path, ["None", "scratch", "nan"]), class_names=["None", "scratch"])
    assert [record.label for record in data.records] == ["None", "scratch"]


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        (["0", "0.0", "1"], "0"),
        (["TRUE", "True", "no"], "True"),
        (["caf\u00e9", "cafe\u0301", "bar"], "caf\u00e9"),
        (["cat", "c\u200bat", "dog"], "cat"),
        (["new cat", "new\u00a0cat", "dog"], "new cat"),
    ],
)
def test_labels_that_a_person_reads_as_one_class_are_one_and_it_is_said(tmp_path, labels, name):
    data = read(table(tmp_path, labels))
    assert set(data.class_names) == {name, labels[2]}
    assert [record.label for record in data.records] == [name, name, labels[2]]
    (issue,) = data.issues
    assert (issue.path, issue.left_out) == ("labels.csv", False)
    assert repr(labels[1]) in issue.reason
    with pytest.raises(DataError, match="strict"):
        read(tmp_path / "labels.csv", strict=True)
    asked = read(tmp_path / "labels.csv", class_names=[labels[1], labels[2]])
    assert asked.class_names == [labels[1], labels[2]], "the names that were asked for come first"


def test_a_class_that_is_written_in_one_way_keeps_its_name(tmp_path):
    data = read(table(tmp_path, ["0.0", "1.0", "TRUE", unicodedata.normalize("NFD", "caf\u00e9")]))
    assert set(data.class_names) == {"0.0", "1.0", "TRUE", "cafe\u0301"}
    assert not data.issues


def test_classes_that_differ_in_case_alone_are_two_and_it_is_said(tmp_path):
    data = read(table(tmp_path, ["Cat", "cat", "dog"]))
    assert len(data.class_names) == 3
    assert_names(data.issues[0].reason, "'Cat'", "'cat'", "case")


def test_a_python_list_is_several_labels_and_no_class(tmp_path):
    path = table(tmp_path, ["['cat', 'dog']", "[]", "dog"])
    data = read(path, task="multi_label", separator=";")
    assert data.class_names == ["cat", "dog"]
    np.testing.assert_array_equal(data.train.labels, [[1, 1], [0, 0], [0, 1]])
    with pytest.raises(DataError, match=r"(?s)Row 2 .*\'label\'.*list.*multi_label"):
        read(path)


def test_several_labels_are_spelled_alike_too(tmp_path):
    data = read(table(tmp_path, ["1;2", "1.0", "2"]), task="multi_label", separator=";")
    assert data.class_names == ["1", "2"]
    np.testing.assert_array_equal(data.train.labels, [[1, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize("missing", ["nan", "NA", ""])
def test_a_missing_target_is_a_missing_label(tmp_path, missing):
    data = read(table(tmp_path, ["1.5", "2", missing]), task="regression")
    assert data.train.labels.ravel().tolist() == [1.5, 2]
    assert [issue.path for issue in data.issues] == ["2.png"]


def test_a_written_table_gives_back_every_name(tmp_path):
    names = ["cat", " cat", "cat ", "None", "0", "0.0", "Cat", "a,b", 'say "a"', "c\u200bat", "['a']"]
    for number, name in enumerate(names):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8), number).save(tmp_path / name / "a.png")
    data = kertl.data.from_directory(tmp_path, image_size=(8, 8), validation=0, test=0)
    data.write_csv(tmp_path / "data.csv")
    again = read(tmp_path / "data.csv", split_column="split")
    assert again.records == data.records
    assert set(again.class_names) == set(names)


def test_a_written_table_of_several_labels_gives_back_what_looks_like_a_missing_one(tmp_path):
    path = table(tmp_path, ["None;cat", "None"])
    data = read(path, task="multi_label", separator=";", class_names=["None", "cat"])
    data.write_csv(tmp_path / "data.csv")
    again = read(tmp_path / "data.csv", task="multi_label", separator=";", split_column="split")
    assert again.records == data.records
