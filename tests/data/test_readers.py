import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import kertl.data
from kertl.errors import DataError
from tests.data.faults import encoded, scene
from tests.messages import assert_names


@pytest.fixture
def dataset(tmp_path):
    """Twelve images in data order."""
    for k in range(12):
        scene(seed=k).save(tmp_path / f"{k:02}.jpg")
    return kertl.data.images(tmp_path, image_size=(8, 8), batch_size=4)


def failure(dataset, index=0):
    with pytest.raises(DataError) as raised:
        dataset[index]
    assert dataset.failure is raised.value
    return raised.value


def test_a_file_that_was_changed_after_the_scan_is_an_error_that_names_it(dataset):
    path = Path(dataset.files[2])
    path.write_bytes(encoded(scene(seed=99), "JPEG"))
    assert_names(failure(dataset), path, "changed")
    assert len(dataset[1][0]) == 4
    path.write_bytes(b"")
    assert_names(failure(dataset), path, "0 bytes")
    path.write_bytes(b"no picture")
    assert_names(failure(dataset), path, "changed")


def test_a_flipped_bit_that_still_decodes_is_found(dataset):
    path = Path(dataset.files[0])
    content = bytearray(path.read_bytes())
    content[-40] ^= 8
    path.write_bytes(content)
    assert not np.array_equal(kertl.data.read_image(path, (48, 64)), np.asarray(scene()))
    assert_names(failure(dataset), path, "changed")


def test_a_file_that_vanished_or_became_unreadable_after_the_scan_is_an_error_that_names_it(dataset):
    first, second = Path(dataset.files[0]), Path(dataset.files[4])
    first.unlink()
    assert_names(failure(dataset), first, "No such file or directory")
    second.unlink()
    second.mkdir()
    assert_names(failure(dataset, 1), second, "regular file")


def test_a_file_that_was_only_touched_or_copied_anew_is_the_same(dataset):
    before = dataset[0][0]
    first, second = map(Path, dataset.files[:2])
    os.utime(first, ns=(1, 1))
    content = second.read_bytes()
    second.unlink()
    second.write_bytes(content)
    np.testing.assert_array_equal(dataset[0][0], before)
    assert dataset.failure is None


def test_the_content_is_only_looked_at_where_size_or_time_differ(dataset, monkeypatch):
    monkeypatch.setattr("hashlib.sha256", None)
    assert len(dataset[0][0]) == 4
    os.utime(dataset.files[0], ns=(1, 1))
    with pytest.raises(TypeError):
        dataset[0]


def test_an_image_in_the_cache_is_not_read_again(tmp_path):
    (tmp_path / "a").mkdir()
    for k in range(4):
        Image.new("L", (8, 8), 9 * k).save(tmp_path / "a" / f"{k}.png")
    data = kertl.data.from_directory(tmp_path, image_size=(4, 4), validation=0, test=0, cache="memory")
    before = data.train.in_order()[0][0]
    (tmp_path / "a" / "0.png").write_bytes(b"")
    np.testing.assert_array_equal(data.train.in_order()[0][0], before)


@pytest.mark.parametrize("cache", [None, "memory"])
def test_files_are_resized_in_another_way_when_asked(tmp_path, cache):
    (tmp_path / "a").mkdir()
    for k in range(4):
        scene(20, 40, seed=k).save(tmp_path / "a" / f"{k}.png")
    options = {"image_size": (8, 8), "validation": 0, "test": 0, "cache": cache}
    stretched, padded = (
        kertl.data.from_directory(tmp_path, resize=resize, **options).train.in_order() for resize in ("stretch", "pad")
    )
    stretched.batch(0, 0)
    for dataset in (stretched, stretched.subset(np.arange(4)), kertl.data.joined([stretched])):
        changed = dataset.changed(resize="pad")
        assert changed.reader.fitted == "pad"
        np.testing.assert_array_equal(changed.batch(0, 0)[0], padded.batch(0, 0)[0])
        assert dataset.reader.fitted == "stretch"


def test_arrays_know_whether_they_were_resized():
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 16, 3), np.uint8)
    own = kertl.data.from_arrays(x, [0, 1] * 2, validation=0, test=0).train
    assert own.reader.fitted is None
    padded = own.changed(image_size=(8, 8), resize="pad")
    assert padded.reader.fitted == padded.changed(image_size=(4, 4)).reader.fitted == "pad"
    assert padded.subset(np.arange(2)).reader.fitted == "pad"
    # every way gives the same pixels where the sides keep their proportion
    halves = [own.changed(image_size=(4, 8), resize=resize) for resize in ("stretch", "pad", "crop")]
    assert {half.reader.fitted for half in halves} == {None}
    np.testing.assert_array_equal(halves[0].batch(0, 0)[0], halves[1].batch(0, 0)[0])
    np.testing.assert_array_equal(halves[0].batch(0, 0)[0], halves[2].batch(0, 0)[0])
    with pytest.raises(DataError, match=r"resize='pad' .*resize='crop'"):
        padded.changed(resize="crop")
