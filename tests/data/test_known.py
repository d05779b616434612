import os
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

import kertl.data
from kertl.data import _known, _readers, _scan
from kertl.errors import DataError
from tests.data.faults import encoded, scene

FORM = {"image_size": (48, 48), "validation": 0.25, "test": 0}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of its own, in which files count that were written just now."""
    monkeypatch.setattr(_known, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(_known, "_SETTLED", 0)
    return tmp_path / "cache" / "checked-files.sqlite"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for k in range(8):
        path = folder / "ab"[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene(300, 300, seed=k), "PNG"))
    (folder / "a" / "copy.jpg").write_bytes(encoded(scene(300, 300, seed=1), "JPEG"))
    (folder / "a" / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def checked(monkeypatch):
    """The names of the files that are decoded to be checked."""
    names = []
    verdict = _scan._verdict

    def counting(path, *form):
        names.append(Path(path).name)
        return verdict(path, *form)

    monkeypatch.setattr(_scan, "_verdict", counting)
    return names


@pytest.mark.usefixtures("cache")
def test_a_second_start_decodes_only_what_cannot_be_used_and_finds_the_same(photos, checked):
    first = kertl.data.from_directory(photos, **FORM)
    assert len(checked) == 10
    del checked[:]
    second = kertl.data.from_directory(photos, **FORM)
    assert checked == ["broken.png"]
    assert first.records == second.records
    assert first.issues == second.issues
    assert any("looks like" in issue.reason for issue in second.issues)
    for one, other in ((first.train, second.train), (first.validation, second.validation)):
        np.testing.assert_array_equal(one[0][0], other[0][0])


@pytest.mark.usefixtures("cache")
def test_after_a_second_start_a_file_is_decoded_at_its_first_use_alone(photos, monkeypatch):
    kertl.data.from_directory(photos, **FORM)
    train = kertl.data.from_directory(photos, **FORM).train.in_order()
    first = train.reader.take(np.arange(train.num_examples))
    monkeypatch.setattr(_readers, "pixels_of", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(train.reader.take(np.arange(train.num_examples)), first)


@pytest.mark.usefixtures("cache")
def test_files_are_decoded_again_on_request_and_in_other_channels(photos, checked):
    kertl.data.from_directory(photos, **FORM)
    for options in ({"check_again": True}, {"channels": 1}):
        del checked[:]
        kertl.data.from_directory(photos, **FORM, **options)
        assert len(checked) == 10
    del checked[:]
    kertl.data.images(photos, image_size=(48, 48))
    kertl.data.images(photos, image_size=(48, 48), check_again=True)
    assert len(checked) == 1 + 10


@pytest.mark.usefixtures("cache")
def test_a_file_that_changed_in_any_way_is_decoded_again(tmp_path, photos, checked):
    elsewhere = tmp_path / "elsewhere.png"
    elsewhere.write_bytes(encoded(scene(300, 300, seed=60), "PNG"))
    kertl.data.from_directory(photos, **FORM)
    content = (photos / "a" / "0.png").read_bytes()
    times = (photos / "a" / "0.png").stat()
    changes = {
        "another image": lambda path: path.write_bytes(encoded(scene(300, 300, seed=50), "PNG")),
        "one bit, size and time as before": lambda path: (
            path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]),
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns)),
        ),
        "truncated": lambda path: path.write_bytes(content[:3000]),
        "replaced by a link": lambda path: (path.unlink(), path.symlink_to(elsewhere)),
    }
    for what, change in changes.items():
        change(photos / "a" / "0.png")
        del checked[:]
        data = kertl.data.from_directory(photos, **FORM)
        assert sorted(checked) == ["0.png", "broken.png"], what
        used = {record.file for record in data.records}
        assert ("a/0.png" in used) == (what in ("another image", "replaced by a link")), what


def test_a_file_that_was_written_just_now_is_not_remembered(tmp_path, photos, monkeypatch, checked):
    monkeypatch.setattr(_known, "_SETTLED", 100 * 10**9)  # whatever else the machine does meanwhile
    monkeypatch.setattr(_known, "cache_folder", lambda: tmp_path / "cache")
    for _ in range(2):
        kertl.data.from_directory(photos, **FORM)
    assert len(checked) == 20
    later = time.time_ns() + 101 * 10**9
    monkeypatch.setattr(_known.time, "time_ns", lambda: later)
    for _ in range(2):
        kertl.data.from_directory(photos, **FORM)
    assert len(checked) == 20 + 10 + 1


def test_a_cache_that_cannot_be_used_costs_time_and_nothing_else(photos, cache, checked):
    first = kertl.data.from_directory(photos, **FORM)
    cache.write_bytes(b"nonsense" * 1000)
    second = kertl.data.from_directory(photos, **FORM)
    assert len(checked) == 20
    assert (first.records, first.issues) == (second.records, second.issues)
    cache.unlink()
    cache.parent.rmdir()
    cache.parent.write_text("a file in its place")
    assert kertl.data.from_directory(photos, **FORM).records == first.records


def test_a_cache_of_another_version_or_with_damaged_rows_is_begun_anew(photos, cache, checked):
    first = kertl.data.from_directory(photos, **FORM)
    changes = ["ALTER TABLE files ADD COLUMN more BLOB", "ALTER TABLE files DROP COLUMN images"]
    cells = [("thumbnail", "NULL"), ("thumbnail", "x'00'"), ("height", "'tall'"), ("kind", "NULL"), ("kind", "'TGA'")]
    cells += [("sha256", "'xyz'"), ("height", "0"), ("width", "-5"), ("images", "-1")]
    for change in [*changes, *(f"UPDATE files SET {name} = {value}" for name, value in cells)]:
        with sqlite3.connect(cache) as database:
            database.execute(change)
        del checked[:]
        second = kertl.data.from_directory(photos, **FORM)
        assert (len(checked), second.records, second.issues) == (10, first.records, first.issues), change
        del checked[:]
        kertl.data.from_directory(photos, **FORM)
        assert len(checked) == 1, "what is broken, and nothing that was found anew"
    cache.write_bytes(b"nonsense" * 1000)
    kertl.data.from_directory(photos, **FORM)
    del checked[:]
    kertl.data.from_directory(photos, **FORM)
    assert len(checked) == 1


def test_a_damaged_cache_that_cannot_be_removed_is_no_error(photos, cache, monkeypatch):
    first = kertl.data.from_directory(photos, **FORM)
    cache.write_bytes(b"nonsense" * 1000)

    def refused(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "unlink", refused)
    assert kertl.data.from_directory(photos, **FORM).records == first.records


@pytest.mark.usefixtures("cache")
def test_arrays_in_files_are_remembered_too(tmp_path, checked):
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "0.npy", scene(60, 60, seed=0))
    for _ in range(2):
        assert kertl.data.images(tmp_path / "arrays", image_size=(48, 48)).num_examples == 1
    assert len(checked) == 1


def test_another_version_of_pillow_begins_anew_and_the_oldest_are_forgotten(photos, cache, checked, monkeypatch):
    monkeypatch.setattr(_known, "_MOST", 5)
    kertl.data.from_directory(photos, **FORM)
    with sqlite3.connect(cache) as database:
        assert database.execute("SELECT COUNT(*) FROM files").fetchone() == (5,)
    monkeypatch.setattr(_known, "_READER", "another")
    del checked[:]
    kertl.data.from_directory(photos, **FORM)
    assert len(checked) == 10


@pytest.mark.usefixtures("cache")
def test_names_that_are_no_text_are_remembered_too(tmp_path, checked):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / os.fsdecode(b"\xff.png")
    try:
        path.write_bytes(encoded(scene(60, 60, seed=0), "PNG"))
    except OSError:
        pytest.skip("this file system has only names that are text")
    for _ in range(2):
        assert kertl.data.images(tmp_path / "a", image_size=(48, 48)).num_examples == 1
    assert len(checked) == 1


def test_what_is_wrong_with_the_option_is_said(photos):
    with pytest.raises(ValueError, match="check_again"):
        kertl.data.from_directory(photos, check_again="yes")
    with pytest.raises((ValueError, DataError), match="check_again"):
        kertl.data.images(photos, image_size=(48, 48), check_again="yes")
