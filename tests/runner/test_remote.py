"""A run directory that is elsewhere: fetched, uploaded, and whole after a kill in the middle of any upload."""

import hashlib
import json
import shutil
from pathlib import Path

import keras
import pytest

import kertl
from kertl.run_files import RemoteCopy, locked
from kertl.run_files._remote import LIST
from tests.messages import assert_names
from tests.runs import digest, quick, recipe, squares, tiny

fsspec = pytest.importorskip("fsspec")
PLAN = recipe(quick("deep", epochs=3, augment="light"))


class Killed(BaseException):
    """Ends a run as a kill does: nobody catches it, and nothing is uploaded after it."""


def go(address="memory://bucket/run", callbacks=(), **options):
    options = {"recipe": PLAN, "checkpoint_seconds": 0, "report": False, "verbose": 0, **options}
    return kertl.fine_tune(tiny(), squares(), run_dir=address, callbacks=callbacks, **options)


def another_machine(tmp_path):
    shutil.rmtree(tmp_path / "cache")


@pytest.fixture(scope="module")
def undisturbed():
    return digest(go(None).model)


def dying(bucket, monkeypatch, at):
    """Have the process die in the middle of the nth operation at the address; what it did not reach stays undone."""
    left = [at]

    def counted(name):
        original = getattr(type(bucket), name)

        def operation(self, first, *arguments, **options):
            left[0] -= 1
            if left[0] <= 0:
                if left[0] == 0 and name == "put_file":  # half of the file is there
                    content = Path(first).read_bytes()
                    self.pipe_file(arguments[0], content[: len(content) // 2])
                raise Killed
            return original(self, first, *arguments, **options)

        monkeypatch.setattr(type(bucket), name, operation)

    for name in ("put_file", "mv", "rm_file"):
        counted(name)


@pytest.mark.parametrize("at", [9, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 14, 23, 30, 47, 60))])
def test_a_kill_in_the_middle_of_an_upload_loses_nothing(bucket, monkeypatch, tmp_path, undisturbed, at):
    with monkeypatch.context() as patched:
        dying(bucket, patched, at)
        with pytest.raises(Killed):
            go()
    another_machine(tmp_path)
    assert digest(go().model) == undisturbed
    assert not [name for name in bucket.find("bucket/run") if "uploading" in name]


def test_what_is_there_in_the_end_is_the_run_and_another_machine_reads_it(bucket, tmp_path, undisturbed, caplog):
    run = go()
    there = {name.removeprefix("/bucket/run/") for name in bucket.find("bucket/run")}
    assert {"recipe.json", "model.keras", "SHA256SUMS", "metrics.json", "history.csv", LIST} <= there
    assert any(name.startswith("tensorboard/") for name in there)
    assert not any(name.startswith(("features/", ".lock")) for name in there)
    assert bucket.cat_file("bucket/run/model.keras") == (run.run_dir / "model.keras").read_bytes()
    another_machine(tmp_path)
    again = go(callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: pytest.fail("trained again"))])
    assert digest(again.model) == undisturbed
    assert "nothing is trained" in caplog.text or again.metrics == run.metrics


def test_a_finished_run_is_read_from_its_address_on_another_machine(bucket, tmp_path, undisturbed):
    run = go()
    another_machine(tmp_path)
    address = "memory://bucket/run"
    assert digest(kertl.load(address)) == undisturbed
    again = kertl.runner.read_run(address)
    assert again.metrics == run.metrics
    assert again.run_dir.is_relative_to(tmp_path / "cache")
    assert kertl.verify(address).problems == []
    assert kertl.inspect(address).noted["class_names"] == list(squares().class_names)
    assert kertl.diagnose(address).verdict == kertl.diagnose(run).verdict
    page = again.report()
    exported = kertl.export(address, again.run_dir / "export" / "model.keras")
    assert exported.difference == 0
    kertl.load(address)
    assert page.is_file()
    assert exported.path.exists(), "what was made of the copy stays"
    assert not bucket.exists("bucket/run/export"), "and is not uploaded"


@pytest.mark.parametrize("read", [kertl.load, kertl.verify, kertl.inspect, kertl.diagnose, kertl.runner.read_run])
def test_an_address_without_a_run_is_refused_and_nothing_is_left_behind(bucket, tmp_path, read):
    with pytest.raises(kertl.errors.RunError) as caught:
        read("memory://bucket/nothing")
    assert_names(caught.value, "memory://bucket/nothing", LIST)
    assert not (tmp_path / "cache").exists()


def test_of_a_run_that_is_being_written_here_the_copy_is_read_as_it_is(bucket, undisturbed):
    run = go()
    bucket.rm_file("bucket/run/metrics.json")
    with locked(run.run_dir):
        assert digest(kertl.load("memory://bucket/run")) == undisturbed
    with pytest.raises(kertl.errors.RunError) as caught:
        kertl.load("memory://bucket/run")
    assert_names(caught.value, "memory://bucket/run/metrics.json", "no such file")


def test_who_reads_leaves_an_upload_alone_and_who_writes_clears_what_a_killed_one_left(bucket):
    go()
    bucket.pipe_file("bucket/run/.uploading-model.keras", b"half")
    kertl.load("memory://bucket/run")
    assert bucket.exists("bucket/run/.uploading-model.keras")
    go()
    assert not bucket.exists("bucket/run/.uploading-model.keras")


def test_what_was_exported_from_the_copy_stays_when_the_run_is_begun_again(bucket):
    run = go()
    kertl.export("memory://bucket/run", run.run_dir / "export" / "m.keras")
    go()
    assert (run.run_dir / "export" / "m.keras").is_file()
    assert not bucket.exists("bucket/run/export")


def test_of_another_run_at_the_same_address_nothing_of_the_first_is_left_in_the_copy(bucket, tmp_path):
    address, elsewhere = "memory://bucket/run", tmp_path / "elsewhere"
    go()
    kertl.load(address)
    shutil.move(tmp_path / "cache", elsewhere)
    bucket.rm("bucket/run", recursive=True)
    again = go(recipe=recipe(quick("deep", epochs=1)))
    fresh = {path.relative_to(again.run_dir) for path in again.run_dir.rglob("*") if path.is_file()}
    shutil.rmtree(tmp_path / "cache")
    shutil.move(elsewhere, tmp_path / "cache")
    assert digest(kertl.load(address)) == digest(again.model)
    assert kertl.verify(address).problems == []
    assert kertl.diagnose(address).to_dict() == kertl.diagnose(again).to_dict()
    left = {path.relative_to(again.run_dir) for path in again.run_dir.rglob("*") if path.is_file()}
    assert {path for path in left - fresh if not path.name.startswith(".")} == set()


def test_verify_looks_at_the_files_at_the_address(bucket):
    go()
    bucket.pipe_file("bucket/run/model.keras", b"garbage")
    kertl.load("memory://bucket/run")  # the copy is sound
    with pytest.raises(kertl.errors.RunError) as caught:
        kertl.verify("memory://bucket/run")
    assert_names(caught.value, "memory://bucket/run/model.keras", "SHA-256")


def test_a_list_that_changes_while_it_is_fetched_is_read_again(bucket, tmp_path, monkeypatch, undisturbed):
    go()
    another_machine(tmp_path)
    original, changed = type(bucket).get_file, []

    def get_file(self, first, *arguments, **options):
        if not changed and first.endswith("history.csv"):  # a training replaces the file and its checksum
            changed.append(first)
            self.pipe_file(first, b"epoch\n")
            listed = json.loads(self.cat_file(f"bucket/run/{LIST}"))
            listed["history.csv"] = [hashlib.sha256(b"epoch\n").hexdigest()]
            self.pipe_file(f"bucket/run/{LIST}", json.dumps(listed).encode())
        return original(self, first, *arguments, **options)

    monkeypatch.setattr(type(bucket), "get_file", get_file)
    RemoteCopy("memory://bucket/run").fetch(writing=False)
    assert changed


def test_a_file_system_that_cannot_be_reached_is_said_to_be():
    with pytest.raises(kertl.errors.ArgumentError) as caught:
        kertl.load("zip://x::file:///nothing.zip")
    assert_names(caught.value, "`path`", "zip://x::file:///nothing.zip", "FileNotFoundError")


@pytest.mark.slow
def test_a_stale_copy_is_brought_up_to_date_and_only_what_differs_is_downloaded(bucket, monkeypatch):
    run = go()
    (run.run_dir / "history.csv").write_text("another")
    (run.run_dir / "left over.txt").write_text("from somewhere")
    fetched, original = [], type(bucket).get_file
    monkeypatch.setattr(type(bucket), "get_file", lambda self, *a, **o: [fetched.append(a[0]), original(self, *a, **o)])
    RemoteCopy("memory://bucket/run").fetch()
    assert fetched == ["/bucket/run/history.csv"]
    assert not (run.run_dir / "left over.txt").exists()


def test_a_file_that_was_damaged_at_the_address_is_named(bucket, tmp_path):
    go()
    bucket.pipe_file("bucket/run/history.csv", b"other")
    another_machine(tmp_path)
    with pytest.raises(kertl.errors.RunError) as caught:
        go()
    assert_names(caught.value, "memory://bucket/run/history.csv", "SHA-256", LIST, "damaged")


def test_an_address_with_other_files_is_refused(bucket):
    bucket.pipe_file("bucket/run/photo.png", b"1")
    with pytest.raises(kertl.errors.RunError) as caught:
        go()
    assert_names(caught.value, "`run_dir`", "'memory://bucket/run'", "'photo.png'", LIST)


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a\\..\\b", ".lock"])
def test_a_list_that_leads_out_of_the_folder_is_refused(bucket, name):
    bucket.pipe_file(f"bucket/run/{LIST}", json.dumps({name: ["0"]}).encode())
    with pytest.raises(kertl.errors.RunError, match=r"must be what was uploaded.*another form"):
        go()


@pytest.mark.slow
def test_while_the_address_cannot_be_reached_the_run_goes_on_and_says_so(bucket, monkeypatch, caplog, undisturbed):
    original, failing = type(bucket).put_file, [True]

    def put_file(self, *arguments, **options):
        if failing[0]:
            raise ConnectionError("no route")
        return original(self, *arguments, **options)

    def back(epoch, logs):
        failing[0] = epoch < 1

    monkeypatch.setattr(type(bucket), "put_file", put_file)
    run = go(callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=back)])
    assert digest(run.model) == undisturbed
    assert "cannot be written: ConnectionError: no route." in caplog.text
    assert bucket.exists("bucket/run/SHA256SUMS")
    failing[0] = True
    with pytest.raises(kertl.errors.RunError, match=r"'memory://bucket/other' cannot be written"):
        go("memory://bucket/other")


def test_an_address_of_no_known_kind_and_one_without_its_package_say_what_to_do():
    with pytest.raises(
        kertl.errors.ArgumentError, match=r"an address that fsspec knows\. Received: run_dir='nowhere://x"
    ):
        go("nowhere://x")
    if "gcs" not in fsspec.available_protocols():
        pytest.fail("fsspec no longer knows gs")
    with pytest.raises(
        kertl.errors.MissingPackageError, match=r"package for addresses such as 'gs://bucket/run'.*gcsfs"
    ):
        go("gs://bucket/run")
