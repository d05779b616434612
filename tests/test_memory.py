from types import SimpleNamespace

import psutil
import pytest

from kertl import _memory


@pytest.fixture
def available(monkeypatch):
    """Sets what the system has available, in bytes."""
    return lambda count: monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=count))


def control_group(folder, *, limit, current=0, inactive=0):
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")
    return folder


def test_free_memory_is_more_than_nothing_and_at_most_all_of_it():
    assert 0 < _memory.free_memory() <= psutil.virtual_memory().total


def test_free_memory_is_what_the_system_has_or_what_the_container_leaves(available, monkeypatch):
    available(1000)
    for left, free in ((None, 1000), (700, 700), (5000, 1000), (0, 0)):
        monkeypatch.setattr(_memory, "_control_group", lambda left=left: left)
        assert _memory.free_memory() == free


def test_a_container_leaves_its_limit_less_what_is_used_but_for_pages_of_files(tmp_path):
    assert _memory._control_group(control_group(tmp_path, limit=1000, current=600, inactive=150)) == 550
    assert _memory._control_group(control_group(tmp_path, limit=1000, current=1200)) == 0
    assert _memory._control_group(control_group(tmp_path, limit="max", current=600)) is None
    assert _memory._control_group(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("count", "written"), [(999, "999 bytes"), (1500, "1.5 kB"), (2**30, "1.1 GB"), (5e15, "5000.0 TB")]
)
def test_bytes_are_written_as_a_person_reads_them(count, written):
    assert _memory.readable(count) == written
