import os

import numpy as np
import pytest

import kertl.data
from kertl.data import _decode, _kept, _readers, _scan
from kertl.data._kept import KeptPixels
from kertl.errors import DataError
from tests.data.faults import encoded, scene
from tests.messages import assert_names

SIZE = (48, 64)
WHOLE = {"image_size": SIZE, "validation": 0, "test": 0}


@pytest.fixture
def decoded(monkeypatch):
    """The sizes of what is decoded."""
    sizes = []
    upright = _decode.upright

    def counting(image, **options):
        sizes.append(image.size)
        return upright(image, **options)

    monkeypatch.setattr(_decode, "upright", counting)
    monkeypatch.setattr(_scan, "upright", counting)
    return sizes


@pytest.fixture
def folder(tmp_path):
    """Photos of several formats, sizes and orientations, and an array."""
    (tmp_path / "a").mkdir()
    for k, (kind, width, height) in enumerate(
        [("JPEG", 900, 700), ("PNG", 70, 50), ("WEBP", 64, 48), ("BMP", 20, 200)]
    ):
        (tmp_path / "a" / f"{k}.{kind.lower()}").write_bytes(encoded(scene(width, height, seed=k), kind))
    turned = scene(500, 300, seed=9)
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "a" / "turned.jpg", exif=turned.getexif())
    scene(90, 80, seed=8).convert("L").save(tmp_path / "a" / "gray.png")
    np.save(tmp_path / "a" / "array.npy", np.random.default_rng(0).integers(0, 256, (60, 50, 3), "uint8"))
    return tmp_path


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_is_decoded_once_and_its_pixels_are_those_of_read_image(folder, decoded, resize, channels):
    data = kertl.data.from_directory(folder, resize=resize, channels=channels, **WHOLE)
    assert len(decoded) == 6  # an array is not decoded
    images = data.train.in_order()
    pixels = images.reader.take(np.arange(images.num_examples))
    assert len(decoded) == 6
    for file, found in zip(images.files, pixels, strict=True):
        np.testing.assert_array_equal(found, kertl.data.read_image(file, SIZE, resize, channels=channels))


def test_what_has_another_form_or_no_room_is_decoded_when_it_is_read(folder, decoded, monkeypatch):
    data = kertl.data.from_directory(folder, **WHOLE)
    other = data.changed(image_size=(50, 64)).train.in_order()
    np.testing.assert_array_equal(other.reader.take(np.array([1]))[0], kertl.data.read_image(other.files[1], (50, 64)))
    monkeypatch.setattr(_kept, "_MOST", 3 * 48 * 64 * 3 + 1)
    del decoded[:]
    images = kertl.data.images(folder, image_size=SIZE)
    images.reader.take(np.arange(images.num_examples))
    assert len(images.reader.kept._images) == 3
    assert 6 + 3 <= len(decoded) <= 6 + 4  # an array may be among those that are kept


def test_parts_and_folds_and_what_is_joined_again_share_what_is_kept(folder):
    for k in range(8):
        (folder / "a" / f"more{k}.png").write_bytes(encoded(scene(60, 60, seed=20 + k), "PNG"))
    data = kertl.data.from_directory(folder, image_size=SIZE, validation=0.3, test=0.2)
    kept = {part.reader.kept for part in (data.train, data.validation, data.test, data.train.subset(np.arange(2)))}
    assert len(kept) == 1
    assert isinstance(kept.pop(), KeptPixels)
    joined = _readers.joined_reader([data.train.reader, data.test.reader], [data.train.num_examples, 1])
    assert joined.kept is data.train.reader.kept


def test_a_file_that_changed_after_the_check_is_named_all_the_same(folder):
    data = kertl.data.from_directory(folder, **WHOLE)
    path = folder / "a" / "1.png"
    path.write_bytes(encoded(scene(70, 50, seed=77), "PNG"))
    with pytest.raises(DataError) as raised:
        data.train.reader.take(np.arange(data.train.num_examples))
    assert_names(raised, "1.png", "changed after")
    path.unlink()
    with pytest.raises(DataError, match=r"1\.png"):
        data.train.reader.take(np.arange(data.train.num_examples))


def test_a_file_that_was_only_touched_is_read_again_and_taken(folder, decoded):
    data = kertl.data.from_directory(folder, **WHOLE)
    before = data.train.in_order().reader.take(np.arange(7))
    os.utime(folder / "a" / "1.png", (1, 1))
    del decoded[:]
    np.testing.assert_array_equal(data.train.in_order().reader.take(np.arange(7)), before)
    assert len(decoded) == 1


def test_small_images_and_such_with_alpha_are_not_kept(folder):
    assert kertl.data.images(folder, image_size=(47, 64)).reader.kept is None
    assert kertl.data.images(folder / "a" / "1.png", image_size=SIZE, channels=4).reader.kept is None
