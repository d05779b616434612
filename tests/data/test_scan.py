import gc
import os
import subprocess
import sys
import threading
import weakref
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

import kertl.data
from kertl.data import _scan
from kertl.data._kinds import suffix_of
from kertl.data._scan import inspect, natural
from kertl.errors import DataError
from tests.data.faults import encoded, scene
from tests.messages import assert_each_names, assert_names

TINY = {"image_size": (4, 4)}
NAMES = [
    "Zürich",
    "犬",
    "кот",
    "🐶 dog",
    "100%20 sure",
    "it's",
    'a "b"',
    "back\\slash",
    "line\nbreak",
    "tab\tstop",
    "\x1b[31mred",
    "[bold]:smile:",
    "n" * 240,
]


WHOLE = {"validation": 0, "test": 0, **TINY}


def reasons(data):
    return {issue.path: issue.reason for issue in data.issues}


def refusal(call, *args, **options):
    with pytest.raises(DataError) as raised:
        call(*args, **options)
    return str(raised.value)


@pytest.mark.parametrize("name", NAMES)
def test_classes_and_files_may_have_any_name(tmp_path, name):
    for folder, first in ((name, 0), ("other", 50)):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for k in range(6):
            (tmp_path / "photos" / folder / f"{k}{name}.png").write_bytes(encoded(scene(seed=first + k), "PNG"))
    data = kertl.data.from_directory(tmp_path / "photos", validation=0.34, test=0, **TINY)
    assert data.issues == ()
    assert sorted(data.class_names) == sorted([name, "other"])
    assert {record.file for record in data.records} == {
        f"{folder}/{k}{name}.png" for folder in (name, "other") for k in range(6)
    }
    assert sum(len(images) for images, _ in data.train) == 8
    assert not any(char in data.summary() for char in "\t\x1b")
    data.write_csv(tmp_path / "data.csv")
    again = kertl.data.from_csv(tmp_path / "data.csv", root=tmp_path / "photos", split_column="split", **TINY)
    assert again.records == data.records
    assert kertl.data.images(tmp_path / "photos", image_size=(4, 4)).num_examples == 12


def test_names_are_escaped_where_they_are_printed(tmp_path):
    name = "line\nbreak\x1b[31m"
    (tmp_path / name).mkdir()
    scene().save(tmp_path / name / "0.png")
    (tmp_path / name / "1\n.png").touch()
    lines = kertl.data.from_directory(tmp_path, **WHOLE).summary().splitlines()
    assert r"line\nbreak\x1b[31m" in lines[3]
    assert lines[-1] == r"'line\nbreak\x1b[31m/1\n.png' is empty (0 bytes)"


def test_a_file_whose_name_is_no_text_is_used_and_a_class_of_that_kind_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    strange = os.fsdecode(b"\xff\xfe.png")
    scene().save(tmp_path / "a" / strange)
    (tmp_path / "a" / os.fsdecode(b"\xfd.png")).touch()
    data = kertl.data.from_directory(tmp_path, **WHOLE)
    assert [record.file for record in data.records] == [f"a/{strange}"]
    assert data.train[0][0].shape == (1, 4, 4, 3)
    assert_names(data.summary(), r"'a/\udcfd.png'", "0 bytes")
    assert data.summary().encode()
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    assert_names(refusal(kertl.data.from_directory, tmp_path), r"'caf\udce9'", "UTF-8")


def test_names_are_in_natural_order():
    names = ["10", "2", "1", "b", "a10", "A9", "a9b", "01", "x2y10", "x2y9", "²"]
    assert sorted(names, key=natural) == ["01", "1", "2", "10", "A9", "a9b", "a10", "b", "x2y9", "x2y10", "²"]


def test_hidden_files_and_leftovers_are_passed_over_and_listed_wherever_they_are(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    scene().save(tmp_path / "a" / "b" / "0.png")
    for folder in (".", "a", "a/b"):
        for name in ("__MACOSX", ".ipynb_checkpoints", ".git", "@eaDir"):
            (tmp_path / folder / name).mkdir()
            scene(seed=1).save(tmp_path / folder / name / "1.png")
        scene(seed=2).save(tmp_path / folder / "._2.jpg", "JPEG")
        (tmp_path / folder / ".DS_Store").touch()
        (tmp_path / folder / "Thumbs.db").touch()
        (tmp_path / folder / "desktop.ini").touch()
    data = kertl.data.from_directory(tmp_path, **WHOLE)
    expected = {
        folder + name: ("hidden folder",)
        for folder in ("", "a/", "a/b/")
        for name in ("__MACOSX", ".ipynb_checkpoints", ".git", "@eaDir")
    } | {folder + "._2.jpg": ("hidden file",) for folder in ("", "a/", "a/b/")}
    assert_each_names(reasons(data), expected)
    assert [record.file for record in data.records] == ["a/b/0.png"]


def test_no_file_of_whatever_name_is_dropped_in_silence(tmp_path):
    (tmp_path / "a").mkdir()
    scene().save(tmp_path / "a" / "0.png")
    contents = {
        "photo.heic": b"\0\0\0\x18ftypheic",
        "photo.avif": encoded(scene(seed=1), "AVIF"),
        "photo.jp2": encoded(scene(seed=1), "JPEG2000"),
        "photo.ppm": encoded(scene(seed=1), "PPM"),
        "notes.txt": b"words",
        "no_suffix": b"more words",
    }
    for name, content in contents.items():
        (tmp_path / "a" / name).write_bytes(content)
    expected = {
        "a/photo.heic": ("HEIC format", "JPEG or PNG"),
        "a/photo.avif": ("AVIF format", "JPEG or PNG"),
        "a/photo.jp2": ("JPEG 2000 format", "JPEG or PNG"),
        "a/photo.ppm": ("not a JPEG",),
        "a/notes.txt": ("not a JPEG",),
        "a/no_suffix": ("not a JPEG",),
    }
    assert_each_names(reasons(kertl.data.from_directory(tmp_path, **WHOLE)), expected)


def test_links_are_followed_and_no_file_comes_twice(tmp_path):
    photos, outside = tmp_path / "photos", tmp_path / "outside"
    (photos / "a").mkdir(parents=True)
    (outside / "deep").mkdir(parents=True)
    scene(seed=0).save(photos / "a" / "0.png")
    scene(seed=1).save(outside / "deep" / "1.png")
    scene(seed=2).save(tmp_path / "2.png")
    (photos / "a" / "first").symlink_to(outside)
    (photos / "a" / "second").symlink_to(outside)
    (outside / "deep" / "back").symlink_to(photos / "a")
    (photos / "a" / "file.png").symlink_to(tmp_path / "2.png")
    (photos / "a" / "gone.png").symlink_to(tmp_path / "3.png")
    (photos / "a" / "itself.png").symlink_to(photos / "a" / "itself.png")
    data = kertl.data.from_directory(photos, **WHOLE)
    assert [record.file for record in data.records] == ["a/0.png", "a/file.png", "a/first/deep/1.png"]
    expected = {"a/gone.png": ("link", "does not exist"), "a/itself.png": ("Too many levels of symbolic links",)}
    assert_each_names(reasons(data), expected)


@pytest.mark.skipif(not os.path.lexists("/proc/version"), reason="the files are those of Linux")
def test_what_may_block_for_ever_is_not_opened(tmp_path):
    """A file of 0 bytes in /proc may wait for what is never written; reading this one would give text."""
    (tmp_path / "a").mkdir()
    scene().save(tmp_path / "a" / "0.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "a" / "null.png").symlink_to("/dev/zero")
    (tmp_path / "a" / "kernel.png").symlink_to("/proc/version")
    with (tmp_path / "a" / "huge.png").open("wb") as file:
        file.truncate(1 << 40)  # a hole of a terabyte, which takes no room
    data = kertl.data.from_directory(tmp_path, **WHOLE)
    expected = {
        "a/pipe.png": ("not a regular file",),
        "a/null.png": ("not a regular file",),
        "a/kernel.png": ("0 bytes",),
        "a/huge.png": ("too large", 1 << 40),
    }
    assert_each_names(reasons(data), expected)


DROPPED = """
import os
import kertl.data
from kertl.errors import DataError

OPTIONS = {"image_size": (4, 4), "validation": 0, "test": 0}
kertl.data.from_directory("warm", **OPTIONS)
if os.geteuid() == 0:  # for root every file is readable
    os.setegid(65534)
    os.seteuid(65534)
data = kertl.data.from_directory("photos", **OPTIONS)
print(len(data.records), *data.issues, sep="\\n")
for folder in ("shut", "lost"):
    try:
        kertl.data.from_directory(folder, **OPTIONS)
    except DataError as error:
        print(error)
"""


@pytest.mark.promise
@pytest.mark.slow
def test_files_and_folders_that_may_not_be_read_are_listed(tmp_path):
    base = tmp_path / "base"
    for name in ("warm/a/0.png", "photos/a/0.png", "photos/a/1.png", "photos/a/shut/2.png", "lost/a/0.png", "shut/b"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        scene(seed=int(name[-5]) if name[-5].isdigit() else 0).save(base / name, "PNG")
    for path in base.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    base.chmod(0o755)
    closed = [base / name for name in ("photos/a/1.png", "photos/a/shut", "shut", "lost/a")]
    for path in closed:
        path.chmod(0)
    try:
        child = subprocess.run(
            [sys.executable, "-c", DROPPED],
            cwd=base,
            env={**os.environ, "KERAS_BACKEND": "numpy"},
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        for path in closed:
            path.chmod(0o755)
    assert child.stdout.splitlines() == [
        "1",
        "'a/shut' cannot be opened: Permission denied",
        "'a/1.png' cannot be opened: Permission denied",
        "The folder 'shut' cannot be opened: Permission denied. [data]",
        (
            "No images in 'lost'. One folder per class is expected, such as 'lost/cat/1.jpg' and 'lost/dog/2.jpg'. "
            "'a' cannot be opened: Permission denied. [no-images]"
        ),
    ]


def test_a_folder_of_images_without_classes_says_what_is_expected(tmp_path):
    for k in range(5):
        scene(seed=k).save(tmp_path / f"{k}.png")
    (tmp_path / "notes.txt").touch()
    found = refusal(kertl.data.from_directory, tmp_path)
    assert_names(found, "5 images", repr(str(tmp_path)), tmp_path / "cat/1.jpg", tmp_path / "dog/2.jpg")
    assert_names(found, "'0.png'", "'1.png'", "'2.png'")
    assert "'3.png'" not in found


def test_a_class_with_too_few_images_is_an_error_that_says_what_to_do(tmp_path):
    for name, count in (("common", 5), ("rare", 1)):
        (tmp_path / name).mkdir()
        for k in range(count):
            scene(seed=k + len(name)).save(tmp_path / name / f"{k}.png")
    found = refusal(kertl.data.from_directory, tmp_path, validation=0.2, test=0)
    assert_names(found, "'rare'", "train, validation", "its 1", "for validation", "`validation`", "`test`")


def test_a_class_of_files_that_cannot_be_used_is_an_error_that_says_why(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for k in range(4):
            (tmp_path / name / f"{k}.png").write_bytes(encoded(scene(seed=k), "PNG") if name == "a" else b"")
    found = refusal(kertl.data.from_directory, tmp_path)
    assert_names(found, "'b'", "'b/0.png'", "'b/1.png'", "'b/2.png'", "0 bytes")
    assert "'b/3.png'" not in found


def test_of_the_classes_none_can_be_left_out_in_silence(photos):
    data = kertl.data.from_directory(photos, **TINY)
    assert_names(refusal(data.train.relabelled, ["dog", "bird"]), "['dog', 'bird']", "['cat']")
    np.testing.assert_array_equal(data.train.relabelled(["dog", "bird", "cat"]).labels, 2 - 2 * data.train.labels)


def test_training_and_prediction_read_the_same_pixels(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a").mkdir()
    image = scene(20, 40)
    image.convert("CMYK").save(tmp_path / "a" / "cmyk.jpg")
    image.save(tmp_path / "a" / "turned.jpg", exif=exif)
    image.quantize(16).save(tmp_path / "a" / "palette.png", transparency=2)
    Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257).save(tmp_path / "a" / "deep.png")
    trained = kertl.data.from_directory(tmp_path, validation=0, test=0, image_size=(40, 20)).train.in_order()
    predicted = kertl.data.images(tmp_path, image_size=(40, 20))
    assert trained.files == predicted.files
    np.testing.assert_array_equal(trained[0][0], predicted[0][0])
    upright = np.rot90(np.asarray(Image.open(tmp_path / "a" / "turned.jpg").convert("RGB")), -1)
    np.testing.assert_array_equal(trained[0][0][3], upright)


def held_by(values):
    """Bytes of some objects and of all that they refer to, classes aside."""
    seen, total, left = set(), 0, [*values]
    while left:
        value = left.pop()
        if id(value) not in seen and not isinstance(value, type):
            seen.add(id(value))
            total += sys.getsizeof(value)
            left += gc.get_referents(value)
    return total


@pytest.mark.parametrize("name", ["a/b.PNG", "a.b/c", ".png", "..png", "a.", "b.tar.Gz", "a/.b.jpg", "c", ""])
def test_the_suffix_of_a_name_is_that_of_its_path(name):
    assert suffix_of(name) == PurePosixPath(name).suffix.lower()


def test_files_are_named_alike_from_wherever_their_folder_is_named(tmp_path, monkeypatch):
    (tmp_path / "photos" / "a" / "deeper").mkdir(parents=True)
    scene(seed=0).save(tmp_path / "photos" / "a" / "deeper" / "0.png")
    (tmp_path / "photos" / "a" / "1.png").symlink_to("deeper/0.png")
    monkeypatch.chdir(tmp_path / "photos")
    files = ["a/1.png", "a/deeper/0.png"]
    assert kertl.data.images(".", **TINY).files == files
    for folder in (".", "../photos", "a/..", tmp_path / "photos"):
        data = kertl.data.from_directory(folder, **WHOLE)
        assert [record.file for record in data.records] == files


class Alive:
    """How many of the objects that were shown to it are there, now and at most."""

    def __init__(self):
        self.now = self.most = self.all = 0
        self._lock = threading.Lock()

    def count(self, value):
        with self._lock:
            self.now += 1
            self.all += 1
            self.most = max(self.most, self.now)
        weakref.finalize(value, self._gone)
        return value

    def _gone(self):
        with self._lock:
            self.now -= 1


def test_what_is_kept_of_a_file_is_small(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    for k in range(20):
        scene(seed=k).save(tmp_path / "a" / f"{k}.jpg")
        for copy in range(25):
            os.link(tmp_path / "a" / f"{k}.jpg", tmp_path / "a" / f"{k}_{copy}.jpg")
    paths = sorted(map(str, (tmp_path / "a").iterdir()))
    alive, opened, upright = Alive(), _scan.opened, _scan.upright
    monkeypatch.setattr(_scan, "opened", lambda content: alive.count(opened(content)))
    monkeypatch.setattr(_scan, "upright", lambda image: alive.count(upright(image)))
    verdicts = inspect(paths)
    assert len(verdicts) == 520
    assert held_by(verdicts) / len(paths) < 1000  # bytes: for 200,000 files 200 MB
    assert (alive.now, alive.all) == (0, 1040)
    assert alive.most <= 2 * _scan.threads(), "each thread has one image, as it is stored and upright"
