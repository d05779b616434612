import io
import json
import os
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kertl.errors import RunError, WeightsError
from kertl.run_files import model_of_run, read_arrays, read_json, remove_partial, replace_file, write_json, write_text
from tests.messages import assert_names


def test_a_text_is_written_in_utf_8_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "text.txt"
    write_text(path, "Zürich 猫\n")
    assert path.read_bytes() == "Zürich 猫\n".encode()


def test_json_is_readable_by_people_and_ends_with_a_line_end(tmp_path):
    value = {"names": ["Zürich"], "rate": 0.1}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "Zürich" in text
    assert text.endswith("}\n")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "model.keras"
    write_text(path, "old")

    def fail(beside):
        beside.write_text("half of the new")
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError) as caught:
        replace_file(path, fail)
    assert_names(caught.value, path, "No space left on device")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_until_the_new_file_is_whole_a_reader_finds_the_old_one(tmp_path):
    path = tmp_path / "model.keras"
    write_text(path, "old")

    def write(beside):
        beside.write_text("half")
        assert path.read_text() == "old"
        assert beside.parent == path.parent, "a rename across file systems is not atomic"
        assert beside.name.endswith(".keras")
        beside.write_text("new")

    replace_file(path, write)
    assert path.read_text() == "new"


def test_the_new_file_is_on_the_disk_before_it_takes_the_place_of_the_old(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("fsync") or fsync(handle))
    monkeypatch.setattr(Path, "replace", lambda self, target: done.append("replace") or replace(self, target))
    write_text(tmp_path / "file.txt", "text")
    assert done == ["fsync", "replace", "fsync"], "the content, then the name, then the folder that has the name"


def test_a_process_that_dies_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    code = (
        "import os, sys; from pathlib import Path; from kertl.run_files import replace_file\n"
        "def write(beside):\n    beside.write_text('half')\n    os._exit(9)\n"
        "replace_file(Path(sys.argv[1]), write)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=Path(__file__).parents[1], check=False)
    assert done.returncode == 9
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    remove_partial(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_the_name_may_tell_of_the_content(tmp_path):
    def write(beside):
        beside.write_text("content")
        return beside.with_name("7.txt")

    replace_file(tmp_path / "file.txt", write)
    assert [path.name for path in tmp_path.iterdir()] == ["7.txt"]
    assert (tmp_path / "7.txt").read_text() == "content"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_the_file_has_the_permissions_that_any_new_file_has(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "text")
    finally:
        assert os.umask(before) == 0o027
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o640


def test_a_directory_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"text\.txt' cannot be written: File exists\."):
        write_text(tmp_path / "file" / "text.txt", "text")


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_the_umask_of_the_process_is_left_alone_while_a_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", None)
    write_text(tmp_path / "file.txt", "text")
    assert (tmp_path / "file.txt").read_text() == "text"


def refused(path, read, match):
    """Assert that a file is refused, and that hardly any memory went into it."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "Expecting"),
        (b'{"a": ', "Expecting"),
        (b"\xff\xfe", "utf-8"),
        (b"[" * 100_000, "nested"),
        (b"[" * 5000 + b"]" * 5000, "nested"),
        (None, "1,099,511,627,776 bytes, more than 16,777,216"),
    ],
)
def test_json_that_is_damaged_deep_or_huge_is_refused(tmp_path, content, match):
    path = tmp_path / "value.json"
    path.write_bytes(content or b"")
    if content is None:
        with path.open("r+b") as file:
            file.truncate(2**40)  # takes no room
    refused(path, read_json, match)


def test_arrays_come_back_as_they_were_saved(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.float32(2), "c": np.array("text"), "d": np.zeros((0, 3))}
    arrays["e"] = np.asfortranarray(arrays["a"])
    np.savez(tmp_path / "arrays.npz", **arrays)
    found = read_arrays(tmp_path / "arrays.npz")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def member(shape, content=b"", descr="<f4", version=1):
    """A member of an .npz file that declares a shape."""
    file = io.BytesIO()
    write = getattr(np.lib.format, f"write_array_header_{version}_0")
    write(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize(
    ("content", "compression", "match"),
    [
        (member((10**6, 10**6)), zipfile.ZIP_STORED, "'0.npy' declares 4,000,000,000,000 bytes and has 0"),
        (member((3,), bytes(11)), zipfile.ZIP_STORED, "'0.npy' declares 12 bytes and has 11"),
        (member((2**21,), bytes(2**23)), zipfile.ZIP_DEFLATED, "compressed"),
        (member((1,), b"any", "|O"), zipfile.ZIP_STORED, "Object arrays cannot be loaded"),
        (member((3,), bytes(12), version=2), zipfile.ZIP_STORED, "version"),
        (b"", zipfile.ZIP_STORED, "EOF"),
        (b"\x93NUMPY\x01\x00\xff\xff", zipfile.ZIP_STORED, "EOF"),
    ],
)
def test_arrays_that_would_become_huge_or_are_no_arrays_are_refused(tmp_path, content, compression, match):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", compression) as archive:
        archive.writestr("0.npy", content)
    refused(tmp_path / "bomb.npz", read_arrays, match)


def test_a_changed_byte_never_makes_other_arrays(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, a=np.arange(20.0), b=np.arange(3))
    whole, random, found = path.read_bytes(), np.random.default_rng(0), 0
    for place in random.integers(0, len(whole), 300):
        path.write_bytes(whole[:place] + random.bytes(1) + whole[place + 1 :])
        try:
            arrays = read_arrays(path)
        except ValueError:
            found += 1
            continue
        assert {float(array.sum()) for array in arrays.values()} <= {3.0, 190.0}, "one may be gone, none is another"
    assert found > 200
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"zip|npz|compressed"):
            read_arrays(path)


def test_a_finished_run_whose_model_is_gone_is_not_called_unfinished(tmp_path):
    (tmp_path / "recipe.json").touch()
    with pytest.raises(WeightsError, match="must have finished"):
        model_of_run(tmp_path)
    (tmp_path / "SHA256SUMS").touch()
    with pytest.raises(WeightsError) as caught:
        model_of_run(tmp_path)
    assert_names(caught.value, "A finished run must have its model.keras", "Restore it", "makes it again")
