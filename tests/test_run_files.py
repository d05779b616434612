import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kertl.errors import RunError
from kertl.run_files import remove_partial, replace_file, write_json, write_text
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
