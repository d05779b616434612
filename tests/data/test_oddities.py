import numpy as np
import pytest
from PIL import Image

import kertl.data
from tests.data.faults import encoded, scene


@pytest.fixture
def folder(tmp_path):
    """A class of twelve different images of 48 x 64."""
    (tmp_path / "a").mkdir()
    for k in range(12):
        scene(seed=k).save(tmp_path / "a" / f"{k}.png")
    return tmp_path


def issues(folder):
    data = kertl.data.from_directory(folder, image_size=(4, 4), validation=0, test=0)
    assert not any(issue.left_out for issue in data.issues)
    assert len(data.records) == len(list((folder / "a").iterdir()))
    return [str(issue) for issue in data.issues]


def test_usual_images_are_not_odd(folder):
    Image.new("RGB", (70, 160)).save(folder / "a" / "tall.png")
    scene(360, 480, seed=20).save(folder / "a" / "large.tiff")
    (folder / "a" / "no_suffix").write_bytes(encoded(scene(seed=21), "JPEG"))
    (folder / "a" / "9.jpg").write_bytes(encoded(scene(seed=22), "MPO", save_all=True, append_images=[scene()]))
    assert issues(folder) == []


def test_names_of_another_kind_of_image_are_listed(folder):
    for k, (name, kind) in enumerate((("a.jpg", "PNG"), ("b.JPG", "WEBP"), ("c.png", "JPEG"), ("d.heic", "JPEG"))):
        (folder / "a" / name).write_bytes(encoded(scene(seed=30 + k), kind))
    assert issues(folder) == [
        "'a/a.jpg' is a PNG image by its content and is read as one",
        "'a/b.JPG' is a WebP image by its content and is read as one",
        "'a/c.png' is a JPEG image by its content and is read as one",
        "'a/d.heic' is a JPEG image by its content and is read as one",
    ]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_files_of_several_images_are_listed_with_their_number(folder, kind):
    frames = [scene(seed=k) for k in range(40, 43)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    (folder / "a" / f"several.{kind.lower()}").write_bytes(content)
    assert issues(folder) == [f"'a/several.{kind.lower()}' holds 3 images; the first is used"]


def test_a_file_whose_second_image_is_damaged_is_listed(folder):
    content = encoded(scene(seed=50), "TIFF", save_all=True, append_images=[scene(seed=51)])
    first = int.from_bytes(content[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    (folder / "a" / "pages.tif").write_bytes(content[:link] + b"\xff" * 4 + content[link + 4 :])
    assert issues(folder) == ["'a/pages.tif' holds several images, not all of which can be read; the first is used"]


def test_images_of_unusual_size_are_listed(folder):
    Image.new("RGB", (1, 1)).save(folder / "a" / "dot.png")
    Image.new("RGB", (1, 4000)).save(folder / "a" / "line.png")
    Image.new("RGB", (600, 500)).save(folder / "a" / "huge.png")
    Image.new("RGB", (120, 20)).save(folder / "a" / "strip.png")
    assert issues(folder) == [
        "'a/dot.png' is 1 x 1 pixels (height x width), where 48 x 64 is usual",
        "'a/huge.png' is 500 x 600 pixels (height x width), where 48 x 64 is usual",
        "'a/line.png' is 4000 x 1 pixels (height x width), where 48 x 64 is usual",
        "'a/strip.png' is 20 x 120 pixels (height x width), where 48 x 64 is usual",
    ]


def test_the_size_is_that_of_the_upright_image(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (150, 60, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a" / "turned.png", exif=exif)  # 60 x 150, 1.9 times as long as usual
    assert issues(folder) == []


def test_a_few_images_have_no_usual_size(tmp_path):
    (tmp_path / "a").mkdir()
    for side in (1, 30, 900):
        Image.new("RGB", (side, side)).save(tmp_path / "a" / f"{side}.png")
    assert issues(tmp_path) == []
