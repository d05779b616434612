import errno
import os
import socket
from pathlib import Path

import pytest
from filelock import FileLock

from kertl.errors import RunError
from kertl.run_files import locked
from tests.messages import assert_names


def test_the_same_process_has_a_folder_once_at_a_time(tmp_path):
    with locked(tmp_path / "run"):
        for _ in range(2):  # that the first was refused changes nothing
            with pytest.raises(RunError, match=f"in use by process {os.getpid()} on"), locked(tmp_path / "run"):
                pass
        with locked(tmp_path / "other"):
            pass
    with locked(tmp_path / "run"):
        pass


def test_an_error_inside_releases_the_folder(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    with locked(tmp_path):
        pass


def test_one_that_has_not_yet_written_its_name_is_another_process(tmp_path):
    with locked(tmp_path):
        (tmp_path / ".lock-holder").unlink()
        with pytest.raises(RunError, match="in use by another process"), locked(tmp_path):
            pass


def test_what_remains_of_a_process_that_was_killed_is_no_lock_and_is_removed(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".lock-holder").write_text("process 1 on another\n")
    with locked(tmp_path):
        assert (tmp_path / ".lock-holder").read_text() == f"process {os.getpid()} on {socket.gethostname()}\n"
    assert not (tmp_path / ".lock-holder").exists()


def test_a_folder_that_cannot_be_made_or_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match="`run_dir` must be a directory"),
        locked(tmp_path / "file"),
    ):
        pass
    (tmp_path / "run" / ".lock").mkdir(parents=True)
    with (
        pytest.raises(RunError, match="`run_dir` must be a directory"),
        locked(tmp_path / "run"),
    ):
        pass


@pytest.mark.parametrize(("owner", "name"), [(Path, "mkdir"), (FileLock, "acquire"), (Path, "write_text")])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_is_full_or_read_only_is_named_with_the_folder(tmp_path, monkeypatch, owner, name, number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(RunError) as caught, locked(tmp_path / "run"):
        pass
    assert_names(caught.value, "`run_dir`", repr(str(tmp_path / "run")), os.strerror(number), "Choose another")
    monkeypatch.undo()
    with locked(tmp_path / "run"):
        pass
