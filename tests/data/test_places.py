"""Paths in tables, as people write them."""

import itertools
import time
import tracemalloc
import unicodedata

import pytest
from PIL import Image

import kertl.data
from kertl.errors import DataError
from tests.messages import assert_names

CAFE = {form: unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")}


def picture(path, shade=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), shade).save(path)


def table(folder, files, labels="ab"):
    text = "\n".join(["file,label", *(f"{file},{labels[k % len(labels)]}" for k, file in enumerate(files))])
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return folder / "labels.csv"


def read(path, **options):
    return kertl.data.from_csv(path, **{"image_size": (8, 8), "validation": 0, "test": 0, **options})


def refusal(path, **options):
    with pytest.raises(DataError) as raised:
        read(path, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("img\\{}.png", ("slashes", "'img/0.png'", "exists")),
        ("C:\\photos\\img\\{}.png", ("Windows", "slashes")),
        ("https://example.org/img/{}.png", ("URLs", "Download")),
        ("~/img/{}.png", ("`~`",)),
        ("img/{}", ("suffix", "'img/0.png'")),
        ("deep/img/{}.png", ("'img/0.png'", "exists")),
        ("{}.png", ("root='{photos}/img'",)),
        ("photos/img/{}.png", ("root='{here}'",)),
        ("nowhere/{}.png", ("`root`",)),
    ],
)
def test_where_no_path_leads_to_a_file_the_error_begins_with_the_cause(tmp_path, written, named):
    folder = tmp_path / "photos"
    for k in range(5):
        picture(folder / "img" / f"{k}.png", k)
    files = [written.format(k) for k in range(5)]
    found = refusal(table(folder, files))
    assert found.startswith("None of the 5 files in ")
    named = [part.replace("{photos}", str(folder)).replace("{here}", str(tmp_path)) for part in named]
    assert_names(found, repr(str(folder / "labels.csv")), *map(repr, files[:3]), "2 more", *named)
    assert_names(found, "No such file or directory", *(f"looked for at {str(folder / file)!r}" for file in files[:3]))
    assert "Class" not in found


def test_folders_of_files_none_of_which_can_be_used_say_so(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
    with pytest.raises(DataError) as raised:
        kertl.data.from_directory(tmp_path)
    assert_names(raised.value, "None of the 2 files", repr(str(tmp_path)), "'a/0.png'", "0 bytes", "'b/0.png'")


@pytest.mark.parametrize(("there", "written"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_file_whose_accents_are_composed_in_another_way_is_taken(tmp_path, there, written):
    picture(tmp_path / CAFE[there] / f"{CAFE[there]}.png")
    picture(tmp_path / "b.png", 9)
    file = f"{CAFE[written]}/{CAFE[written]}.png"
    data = read(table(tmp_path, ["b.png", file, f"{CAFE[there]}/{CAFE[there]}.png", file], "abbb"))
    assert [record.file for record in data.records] == ["b.png", file]
    assert [(issue.path, issue.left_out) for issue in data.issues] == [
        (f"{CAFE[there]}/{CAFE[there]}.png", False),
        (file, False),
    ]
    assert kertl.data.images(tmp_path / file, image_size=(4, 4)).num_examples == 1
    picture(tmp_path / CAFE[written] / f"{CAFE[written]}.png", 99)  # where there is such a file, it is that one
    assert read(table(tmp_path, ["b.png", file])).train.in_order()[0][0].max() == 99


@pytest.mark.parametrize("spelled", ["./img/0.png", "img//0.png", "img/../img/0.png", "img/./0.png", "{}/img/0.png"])
def test_every_spelling_of_a_path_is_the_same_file(tmp_path, spelled):
    spelled = spelled.format(tmp_path)
    for k in range(3):
        picture(tmp_path / "img" / f"{k}.png", k)
    data = read(table(tmp_path, ["img/0.png", "img/1.png", spelled, "img/2.png"], "abab"))
    assert [record.file for record in data.records] == ["img/0.png", "img/1.png", "img/2.png"]
    (issue,) = data.issues
    assert (issue.path, issue.left_out) == (spelled, False)
    assert_names(issue.reason, "2", "4", "'img/0.png'", "counts once")
    # the first spelling is the one that is kept
    data = read(table(tmp_path, [spelled, "img/1.png", "img/0.png"], "aba"))
    data.write_csv(tmp_path / "data.csv")
    assert spelled in (tmp_path / "data.csv").read_text()
    assert read(tmp_path / "data.csv", split_column="split").records == data.records
    data = read(table(tmp_path, ["img/0.png", "img/1.png", spelled, "img/2.png"], "abba"))
    assert [record.file for record in data.records] == ["img/1.png", "img/2.png"]
    assert_names(data.issues[0].reason, "differently", "2", "4", "'img/0.png'")


def test_a_folder_behind_a_link_is_not_confused_with_the_one_before_it(tmp_path):
    picture(tmp_path / "img" / "0.png", 1)
    picture(tmp_path / "far" / "img" / "0.png", 2)
    (tmp_path / "far" / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "deep")
    data = read(table(tmp_path, ["img/0.png", "link/../img/0.png"]))
    assert len(data.records) == 2
    assert not any("counts once" in issue.reason for issue in data.issues)


def test_a_name_that_no_file_can_have_is_named_with_its_row(tmp_path):
    picture(tmp_path / "0.png")
    data = read(table(tmp_path, ["0.png", "1\0.png"], "aa"))
    assert [issue.path for issue in data.issues] == ["1\0.png"]
    assert_names(data.issues[0].reason, "row 3", "null character")
    assert_names(refusal(table(tmp_path, ["1\0.png"])), r"'1\x00.png'", "row 2")
    with pytest.raises(DataError, match=r"'1\\x00\.png' cannot be opened"):
        kertl.data.read_image("1\0.png", (8, 8))
    with pytest.raises(DataError, match=r"'1\\x00\.png' cannot be opened"):
        kertl.data.images("1\0.png", image_size=(8, 8))


def test_rows_are_numbered_as_in_the_file(tmp_path):
    picture(tmp_path / "0.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,a\n\n\n,a\n")
    assert_names(read(tmp_path / "labels.csv").issues[0].reason, "row 5")


def peak(path):
    tracemalloc.start()
    try:
        refusal(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_row_whose_file_is_missing_takes_little_memory(tmp_path):
    peaks = [peak(table(tmp_path, [f"images/{k:07d}.png" for k in range(rows)])) for rows in (300, 1800, 3300)]
    growth = min(more - less for less, more in itertools.pairwise(peaks))  # once Python may enlarge its table of names
    assert growth / 1500 < 420  # bytes: for a million rows 420 MB


def test_a_row_whose_file_is_missing_takes_little_time(tmp_path):
    path = table(tmp_path, [f"images/{k:07d}.png" for k in range(20_000)])
    start = time.process_time()
    refusal(path)
    assert time.process_time() - start < 2  # about 0.7 seconds: for a million rows 35
