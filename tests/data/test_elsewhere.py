"""Images at an address: a bucket in memory, from which only what has changed is fetched."""

import concurrent.futures
import io
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.data import _elsewhere
from tests.messages import assert_names

pytest.importorskip("fsspec")


@pytest.fixture
def fetched(bucket, monkeypatch):
    """The names of the files that are downloaded."""
    names = []
    get = type(bucket).get_file

    def watched(self, path, place, **options):
        names.append(path.rpartition("/")[2])
        return get(self, path, place, **options)

    monkeypatch.setattr(type(bucket), "get_file", watched)
    return names


def png(seed):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(content, "png")
    return content.getvalue()


def fill(bucket, count=8):
    for number in range(count):
        bucket.pipe_file(f"/photos/{'ab'[number % 2]}/{number}.png", png(number))


def read(**options):
    options = {"image_size": (8, 8), "validation": 0.25, "test": 0, **options}
    return kertl.data.from_directory("memory://photos", **options)


def test_a_folder_elsewhere_is_read_as_one_here(bucket, tmp_path):
    fill(bucket)
    bucket.get("/photos", str(tmp_path / "photos"), recursive=True)
    here = kertl.data.from_directory(tmp_path / "photos", image_size=(8, 8), validation=0.25, test=0)
    data = read()
    assert data.csv_text() == here.csv_text()
    np.testing.assert_array_equal(data.train.batch(0, 0)[0], here.train.batch(0, 0)[0])


def test_what_is_unchanged_is_not_fetched_again_and_what_is_gone_is_gone(bucket, fetched):
    fill(bucket)
    read()
    assert len(fetched) == 8
    fetched.clear()
    bucket.pipe_file("/photos/a/0.png", png(100))
    bucket.pipe_file("/photos/b/9.png", png(9))
    bucket.rm_file("/photos/a/2.png")
    files = [record.file for record in read().records]
    assert sorted(fetched) == ["0.png", "9.png"]
    assert "a/2.png" not in files
    assert "b/9.png" in files


def test_a_file_of_the_copy_that_was_changed_or_removed_is_fetched_again(bucket, fetched):
    fill(bucket)
    root = read().root
    fetched.clear()
    (root / "a" / "0.png").write_bytes(b"")
    (root / "b" / "1.png").unlink()
    assert len(read().records) == 8
    assert sorted(fetched) == ["0.png", "1.png"]


def test_a_class_that_is_removed_or_renamed_there_is_so_here(bucket):
    fill(bucket)
    bucket.pipe_file("/photos/c/deep/50.png", png(50))
    bucket.pipe_file("/photos/c/deep/51.png", png(51))
    bucket.pipe_file("/photos/c/52.png", png(52))
    assert read(validation=0).class_names == ["a", "b", "c"]
    bucket.rm("/photos/c", recursive=True)
    bucket.mv("/photos/b", "/photos/B", recursive=True)
    assert read(validation=0).class_names == ["a", "B"]


def test_a_file_may_become_a_folder_of_that_name_and_a_folder_a_file(bucket):
    fill(bucket)
    bucket.pipe_file("/photos/a/x.png", png(60))
    assert len(read().records) == 9
    bucket.rm_file("/photos/a/x.png")
    bucket.pipe_file("/photos/a/x.png/y.png", png(60))
    assert "a/x.png/y.png" in [record.file for record in read().records]
    bucket.rm("/photos/a/x.png", recursive=True)
    bucket.pipe_file("/photos/a/x.png", png(60))
    assert "a/x.png" in [record.file for record in read().records]


def test_odd_cells_of_a_table_leave_out_their_rows_alone(bucket):
    fill(bucket)
    bucket.pipe_file("/photos/e\u0301/9.png", png(9))
    odd = ["a", ".", "x" * 400, "a/0.png\0", "../../x", "/etc/passwd"]
    rows = [f"{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]}" for number in range(8)]
    rows += [*(f"{name},a" for name in odd), "\u00e9/9.png,a"]
    bucket.pipe_file("/photos/labels.csv", "\n".join(["file,label", *rows]).encode())
    data = kertl.data.from_csv("memory://photos/labels.csv", image_size=(8, 8), validation=0.25, test=0)
    assert len(data.records) == 9


def test_two_processes_take_turns(bucket, monkeypatch):
    fill(bucket)
    inside, most = [], []
    get = type(bucket).get_file

    def watched(self, path, place, **options):
        inside.append(path)
        most.append(len(inside))
        time.sleep(0.01)
        get(self, path, place, **options)
        inside.pop()

    monkeypatch.setattr(type(bucket), "get_file", watched)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        counts = list(threads.map(lambda _: len(read().records), range(3)))
    assert counts == [8, 8, 8]
    assert max(most) == 1
    assert len(most) == 8


def test_a_broken_off_download_goes_on_from_there(bucket, fetched, monkeypatch):
    monkeypatch.setattr(_elsewhere, "_AT_ONCE", 3)
    fill(bucket)
    with monkeypatch.context() as patched:
        patched.setattr(_elsewhere.Copy, "_settle", _dying(_elsewhere.Copy._settle, at=5))
        with pytest.raises(kertl.errors.DataError, match="OSError: no route"):
            read()
    fetched.clear()
    assert len(read().records) == 8
    assert len(fetched) == 5


def _dying(original, at):
    calls = []

    def settle(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise OSError("no route")
        return original(*arguments)

    return settle


def test_a_file_that_is_not_whole_is_an_error(bucket, monkeypatch):
    fill(bucket)
    get = type(bucket).get_file

    def cut(self, path, place, **options):
        get(self, path, place, **options)
        if path.endswith("/3.png"):
            with Path(place).open("r+b") as file:
                file.truncate(10)

    monkeypatch.setattr(type(bucket), "get_file", cut)
    with pytest.raises(kertl.errors.DataError) as caught:
        read()
    assert_names(caught.value, "memory://photos/b/3.png", "10", len(png(3)))


def test_of_a_table_only_its_files_are_fetched(bucket, fetched):
    fill(bucket)
    rows = [f"./{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]}" for number in range(6)]
    bucket.pipe_file("/photos/labels.csv", "\n".join(["file,label", *rows, "a/77.png,a"]).encode())
    data = kertl.data.from_csv("memory://photos/labels.csv", image_size=(8, 8), validation=0.25, test=0)
    assert sorted(fetched) == ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "labels.csv"]
    assert len(data.records) == 6
    assert [issue.path for issue in data.issues if "77" in issue.path] == ["a/77.png"]


def test_a_table_here_may_name_files_elsewhere(bucket, tmp_path):
    fill(bucket)
    rows = [f"{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]}" for number in range(8)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]))
    data = kertl.data.from_csv(
        tmp_path / "labels.csv", root="memory://photos", image_size=(8, 8), validation=0.25, test=0
    )
    assert len(data.records) == 8


def test_names_that_lead_out_of_the_folder_are_refused(bucket, tmp_path, monkeypatch):
    fill(bucket)
    find = type(bucket).find
    bad = {"/photos/a/../../../x.png": {"size": 3}}
    monkeypatch.setattr(type(bucket), "find", lambda self, path, **options: {**find(self, path, **options), **bad})
    with pytest.raises(kertl.errors.DataError, match=r"x\.png.*leads out of its folder"):
        read()
    assert not list(tmp_path.rglob("x.png"))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (read, ("`directory`", "a folder", "'memory://photos'")),
        (lambda: kertl.data.from_csv("memory://photos/l.csv"), ("`path`", "a file", "'memory://photos/l.csv'")),
        (lambda: kertl.data.from_directory("nosuch://photos"), ("`directory`", "fsspec", "'nosuch://photos'")),
    ],
)
def test_an_address_without_images_is_an_error(bucket, make, named):
    with pytest.raises((kertl.errors.DataError, ValueError)) as caught:
        make()
    assert_names(caught.value, *named)
