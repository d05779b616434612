import numpy as np
import pytest
from PIL import Image

import kertl.data
from tests.data.faults import encoded, scene
from tests.messages import assert_names


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
    kinds = {"a.jpg": "PNG", "b.JPG": "WebP", "c.png": "JPEG", "d.heic": "JPEG"}
    for issue, (name, kind) in zip(issues(folder), kinds.items(), strict=True):
        assert_names(issue, f"'a/{name}'", f"{kind} image")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_files_of_several_images_are_listed_with_their_number(folder, kind):
    frames = [scene(seed=k) for k in range(40, 43)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    (folder / "a" / f"several.{kind.lower()}").write_bytes(content)
    (issue,) = issues(folder)
    assert_names(issue, f"'a/several.{kind.lower()}'", "3 images", "first")


def test_a_file_whose_second_image_is_damaged_is_listed(folder):
    content = encoded(scene(seed=50), "TIFF", save_all=True, append_images=[scene(seed=51)])
    first = int.from_bytes(content[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(content[first : first + 2], "little")
    (folder / "a" / "pages.tif").write_bytes(content[:link] + b"\xff" * 4 + content[link + 4 :])
    (issue,) = issues(folder)
    assert_names(issue, "'a/pages.tif'", "several images", "first")


def test_images_of_unusual_size_are_listed(folder):
    Image.new("RGB", (1, 1)).save(folder / "a" / "dot.png")
    Image.new("RGB", (1, 4000)).save(folder / "a" / "line.png")
    Image.new("RGB", (600, 500)).save(folder / "a" / "huge.png")
    Image.new("RGB", (120, 20)).save(folder / "a" / "strip.png")
    sizes = {"dot": "1 x 1", "huge": "500 x 600", "line": "4000 x 1", "strip": "20 x 120"}
    for issue, (name, size) in zip(issues(folder), sizes.items(), strict=True):
        assert_names(issue, f"'a/{name}.png'", size, "48 x 64")


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
