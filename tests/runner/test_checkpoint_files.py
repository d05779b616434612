import hashlib
import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from kertl.errors import RunError
from kertl.runner._checkpoint_files import CheckpointFiles
from tests.messages import assert_names

REPOSITORY = Path(__file__).parents[2]


def value(seed=0):
    random = np.random.default_rng(seed)
    return {
        "weights": [random.normal(size=(50, 40)).astype("float32"), np.float16([1, np.nan]), np.zeros((0, 3))],
        "steps": np.int64(7),
        "scalar": np.array(3, "int32"),
        "half": np.array([1.5, -0.0], ml_dtypes.bfloat16),
        "text": "Zürich",
        "nothing": None,
        "rows": [{"loss": float("inf"), "stopped": True}],
        "seed": seed,
    }


def same(one, two):
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[name], two[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_value_comes_back_to_the_last_bit(tmp_path):
    CheckpointFiles(tmp_path).write(value())
    found = CheckpointFiles(tmp_path).read()
    assert same({**value(), "steps": 7}, found)


def test_where_there_is_no_file_there_is_nothing_to_go_on_from(tmp_path):
    files = CheckpointFiles(tmp_path / "none")
    assert files.read() is None
    assert files.hint() == "There is no checkpoint yet."
    assert not (tmp_path / "none").exists()


def test_the_last_two_are_kept_and_numbers_go_on(tmp_path):
    for _ in range(2):
        files = CheckpointFiles(tmp_path)
        for seed in range(3):
            files.write(value(seed))
    assert [name[:17] for name in names(tmp_path)] == ["checkpoint-000005", "checkpoint-000006"]
    assert CheckpointFiles(tmp_path).read()["seed"] == 2


def test_numbers_and_not_times_say_which_is_the_newest(tmp_path):
    files = CheckpointFiles(tmp_path)
    old, new = files.write(value(0)), files.write(value(1))
    os.utime(old, (4e9, 4e9))
    os.utime(new, (0, 0))
    assert CheckpointFiles(tmp_path).read()["seed"] == 1


def test_every_flipped_bit_is_found_and_the_file_before_is_taken(tmp_path, caplog):
    files = CheckpointFiles(tmp_path)
    good, bad = files.write(value(0)), files.write(value(1))
    content, random = bad.read_bytes(), np.random.default_rng(0)
    for place in random.integers(0, 8 * len(content), 100):
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << (place % 8)
        bad.write_bytes(flipped)
        caplog.clear()
        again = CheckpointFiles(tmp_path)
        assert same(again.read(), {**value(0), "steps": 7})
        assert_names(caplog.text, bad, "damaged", "SHA-256")
        assert_names(again.hint(), repr(good.name), "resumes")


@pytest.mark.parametrize("share", [0, 0.3, 0.999])
def test_a_truncated_file_is_found(tmp_path, share, caplog):
    files = CheckpointFiles(tmp_path)
    files.write(value(0))
    bad = files.write(value(1))
    bad.write_bytes(bad.read_bytes()[: int(share * bad.stat().st_size)])
    assert CheckpointFiles(tmp_path).read()["seed"] == 0
    assert f"{bad} is damaged" in caplog.text


def test_a_foreign_file_with_code_in_it_is_not_run_whatever_its_name(tmp_path, caplog):
    class Code:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    CheckpointFiles(tmp_path).write(value(0))
    foreign = io.BytesIO()
    np.savez(foreign, state=np.array([Code()], dtype=object))
    digest = hashlib.sha256(foreign.getvalue()).hexdigest()[:16]
    (tmp_path / f"checkpoint-000009-{digest}.npz").write_bytes(foreign.getvalue())
    assert CheckpointFiles(tmp_path).read()["seed"] == 0
    assert "Object arrays cannot be loaded" in caplog.text
    assert not (tmp_path / "ran").exists()


def test_where_all_are_damaged_nothing_begins_afresh_in_silence(tmp_path):
    files = CheckpointFiles(tmp_path / "run" / "checkpoints")
    paths = [files.write(value(seed)) for seed in (0, 1)]
    for path in paths:
        path.write_bytes(b"garbage")
    with pytest.raises(RunError) as caught:
        CheckpointFiles(files.folder).read()
    assert_names(caught.value, repr(str(files.folder)), paths[0].name, paths[1].name)
    assert_names(caught.value, "Restore", repr(str(tmp_path / "run")))


def test_a_damaged_file_never_takes_the_place_of_a_good_one(tmp_path):
    files = CheckpointFiles(tmp_path)
    good, bad = files.write(value(0)), files.write(value(1))
    bad.write_bytes(b"garbage")
    again = CheckpointFiles(tmp_path)
    again.read()
    new = again.write(value(2))
    assert names(tmp_path) == sorted([good.name, new.name])


class Died(BaseException):
    pass


def dying_at(monkeypatch, moment):
    """Every call that touches the disk counts twice, before and after; at one of these moments all ends.

    Gives the moments that have been, as a list.
    """
    moments = []

    def wrap(owner, name):
        original = getattr(owner, name)

        def call(*arguments, **options):
            for part in ("before", "after"):
                if len(moments) >= moment:
                    raise Died
                moments.append(f"{part} {name}")
                if part == "before":
                    result = original(*arguments, **options)
            return result

        monkeypatch.setattr(owner, name, call)

    for owner, name in [
        (Path, "touch"),
        (np, "savez"),
        (os, "fsync"),
        (Path, "replace"),
        (Path, "unlink"),
    ]:
        wrap(owner, name)
    return moments


def test_at_each_moment_of_writing_at_which_all_may_end_a_whole_file_remains(tmp_path, monkeypatch):
    reached = set()
    for moment in range(100):
        folder = tmp_path / str(moment)
        files = CheckpointFiles(folder)
        for seed in (0, 1):
            files.write(value(seed))
        with monkeypatch.context() as patched:
            moments = dying_at(patched, moment)
            try:
                files.write(value(2))
                ended = True
            except Died:
                ended = False
        reached |= set(moments)
        again = CheckpointFiles(folder)
        found = again.read()
        assert same(found, {**value(found["seed"]), "steps": 7})
        assert found["seed"] == (2 if "after replace" in moments or "before replace" in moments else 1), moments
        assert not list(folder.glob(".partial-*"))
        again.write(value(3))
        assert CheckpointFiles(folder).read()["seed"] == 3
        assert len(names(folder)) <= 3
        if ended:
            break
    assert ended
    assert moment > 12
    assert {"before savez", "after fsync", "before replace", "after unlink"} <= reached


def test_what_is_on_the_disk_is_whole_before_the_name_is(tmp_path, monkeypatch):
    moments = dying_at(monkeypatch, 1000)
    CheckpointFiles(tmp_path).write(value())
    assert [moment.removeprefix("after ") for moment in moments if moment.startswith("after")][:5] == [
        "touch",
        "savez",
        "fsync",
        "replace",
        "fsync",
    ]


@pytest.mark.promise
@pytest.mark.slow
def test_a_full_disk_leaves_the_file_before_and_names_it(tmp_path):
    code = f"""
import resource
from pathlib import Path
from kertl.errors import RunError
from kertl.runner._checkpoint_files import CheckpointFiles
from tests.messages import assert_names
from tests.runner.test_checkpoint_files import value, same
folder = Path({str(tmp_path)!r})
files = CheckpointFiles(folder)
good = files.write(value(1))
size = good.stat().st_size
for limit in [*range(0, size, 199), size - 1]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        files.write(value(2))
    except RunError as error:
        message = str(error)
    else:
        raise SystemExit("written")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert_names(message, "cannot be written", "File too large", repr(good.name), "resumes")
    assert [path.name for path in folder.iterdir()] == [good.name]
    assert same(CheckpointFiles(folder).read(), {{**value(1), "steps": 7}})
files.write(value(2))
assert CheckpointFiles(folder).read()["seed"] == 2
print("checked")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout == "checked\n", done.stderr


def test_a_warning_names_what_is_wrong_with_a_file(tmp_path, caplog):
    path = CheckpointFiles(tmp_path).write(value())
    path.rename(tmp_path / "checkpoint-000001-0123456789abcdef.npz")
    with caplog.at_level(logging.WARNING), pytest.raises(RunError):
        CheckpointFiles(tmp_path).read()
    assert_names(caplog.text, "SHA-256", path.name[18:34])
