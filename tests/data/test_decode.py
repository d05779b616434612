import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

import kertl.data
from kertl.data import _decode
from kertl.data._scan import inspect
from kertl.errors import DataError
from tests.data.faults import bombs, encoded, png_of, scene
from tests.messages import assert_names


def random_pixels(height=40, width=60, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def refusal(path):
    with pytest.raises(DataError) as raised:
        kertl.data.read_image(path, (8, 8))
    assert_names(raised.value, path)
    return raised.value


def photo(path, **options):
    """A smooth image, which JPEG keeps well."""
    path.parent.mkdir(exist_ok=True)
    rows, columns = np.mgrid[0:40, 0:60]
    Image.fromarray(np.stack([rows * 6, columns * 4, rows + columns], -1).astype(np.uint8)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.webp"])
def test_lossless_formats_give_the_pixels_that_were_saved(tmp_path, name):
    pixels = random_pixels()
    Image.fromarray(pixels).save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
    np.testing.assert_array_equal(kertl.data.read_image(tmp_path / name, (40, 60)), pixels)


@pytest.mark.parametrize("source", [None, 3, np.zeros((4, 4, 3), "uint8")])
def test_what_is_no_image_at_all_is_refused(source):
    with pytest.raises(ValueError, match="`source` must be the path of an image"):
        kertl.data.read_image(source, (4, 4))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_files_give_what_pillow_gives(tmp_path, options):
    path = photo(tmp_path / "a.jpg", **options)
    expected = np.asarray(Image.open(path).resize((31, 21), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(kertl.data.read_image(path, (21, 31)), expected)


def drawn(path, height, width, orientation=1):
    """A large JPEG with shapes and some noise, as a camera makes it."""
    image = scene(height, width, seed=1)
    grain = np.random.default_rng(0).normal(0, 3, (height, width, 1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype("uint8")).save(path, quality=92, exif=exif)
    return path


@pytest.mark.parametrize("resize", kertl.data.RESIZE)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_with_nearly_the_same_pixels(tmp_path, resize, orientation):
    path = drawn(tmp_path / "a.jpg", 600, 900, orientation)
    whole = _decode.in_channels(
        _decode.fit(_decode.upright(_decode.opened(path.read_bytes())), (64, 80), resize), 3
    ).astype(int)
    difference = abs(kertl.data.read_image(path, (64, 80), resize) - whole)
    assert 0 < difference.mean() < 1
    assert np.quantile(difference, 0.999) <= 8


@pytest.mark.parametrize(
    ("size", "asked", "resize", "orientation", "decoded"),
    [
        ((1600, 1200), (100, 100), "stretch", 1, (200, 150)),
        ((1600, 1200), (100, 400), "stretch", 1, (400, 300)),
        ((1600, 1200), (400, 100), "stretch", 6, (400, 300)),
        ((1600, 1200), (400, 100), "stretch", 1, (800, 600)),
        ((1600, 200), (200, 200), "crop", 1, (1600, 200)),
        ((1600, 200), (200, 200), "pad", 1, (200, 25)),
        ((399, 399), (200, 200), "stretch", 1, (399, 399)),
        ((400, 400), (200, 200), "stretch", 1, (200, 200)),
        ((5, 5), (1, 1), "stretch", 1, (3, 3)),
        ((3, 900), (1, 1), "stretch", 1, (3, 900)),
    ],
)
def test_the_scale_follows_from_both_sizes_and_nothing_is_enlarged(tmp_path, size, asked, resize, orientation, decoded):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", size).save(tmp_path / "a.jpg", exif=exif)
    image = _decode.opened((tmp_path / "a.jpg").read_bytes())
    _decode.scaled_while_decoded(image, asked, resize)
    image.load()
    assert image.size == decoded
    assert kertl.data.read_image(tmp_path / "a.jpg", asked, resize).shape == (*asked, 3)


def test_what_is_known_of_a_large_jpeg_is_its_own_size_and_its_damage(tmp_path):
    path = drawn(tmp_path / "a.jpg", 700, 900, orientation=6)
    (found,) = inspect([str(path)])
    assert found.size == (900, 700)
    path.write_bytes(path.read_bytes()[:-20_000])
    (found,) = inspect([str(path)])
    assert "truncated" in found.reason
    assert "truncated" in str(refusal(path))


def test_the_content_and_not_the_name_says_what_a_file_is(tmp_path):
    pixels = random_pixels()
    Image.fromarray(pixels).save(tmp_path / "really_png.jpg", format="png")
    np.testing.assert_array_equal(kertl.data.read_image(tmp_path / "really_png.jpg", (40, 60)), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(random_pixels()).save(tmp_path / "a.png", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "a.png"))
    assert upright.size == ((60, 40) if orientation < 5 else (40, 60))
    pixels = kertl.data.read_image(tmp_path / "a.png", (upright.height, upright.width))
    np.testing.assert_array_equal(pixels, np.asarray(upright))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_gray_of_16_bits_is_scaled_to_8(tmp_path, suffix):
    values = np.array([[0, 32639, 65535, 257]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert kertl.data.read_image(tmp_path / f"a.{suffix}", (1, 4))[0, :, 0].tolist() == [0, 127, 255, 1]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_an_error(tmp_path, mode):
    Image.new(mode, (4, 4), 7).save(tmp_path / "a.tif")
    assert_names(refusal(tmp_path / "a.tif"), "32-bit", "8 or 16 bits")


def test_transparency_is_composited_on_white(tmp_path):
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (2, 2), (0, 128)).save(tmp_path / "half.png")
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "palette.png")
    palette.save(tmp_path / "clear_palette.png", transparency=1)
    colours = {
        name: kertl.data.read_image(tmp_path / f"{name}.png", (2, 2))[0, 0].tolist()
        for name in ("clear", "half", "palette", "clear_palette")
    }
    assert colours == {
        "clear": [255, 255, 255],
        "half": [127, 127, 127],
        "palette": [10, 20, 30],
        "clear_palette": [255, 255, 255],
    }


def test_one_bit_and_cmyk_images_become_rgb(tmp_path):
    Image.new("1", (2, 2), 1).save(tmp_path / "bit.png")
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=100)
    assert kertl.data.read_image(tmp_path / "bit.png", (2, 2)).tolist() == [[[255] * 3] * 2] * 2
    red = kertl.data.read_image(tmp_path / "red.jpg", (8, 8))[0, 0].astype(int)
    assert abs(red - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    red = kertl.data.read_image(tmp_path / f"a.{suffix}", (8, 8))[0, 0].astype(int)
    assert abs(red - [255, 0, 0]).max() <= 3


def test_gray_images_are_resized_to_the_same_pixels_as_their_rgb_form(tmp_path):
    gray = random_pixels(channels=1)[..., 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    Image.fromarray(np.stack([gray] * 3, -1)).save(tmp_path / "rgb.png")
    small = [kertl.data.read_image(tmp_path / name, (16, 16)) for name in ("gray.png", "rgb.png")]
    np.testing.assert_array_equal(*small)


def test_exif_data_that_cannot_be_parsed_is_no_issue(tmp_path):
    for k in range(2):
        photo(tmp_path / "a" / f"{k}.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0f\x01\x02", quality=90 + k)
    data = kertl.data.from_directory(tmp_path, image_size=(4, 4), validation=0, test=0)
    (issue,) = data.issues
    assert_names(issue, "'a/1.jpg'", "'a/0.jpg'")
    expected = kertl.data.read_image(tmp_path / "a" / "0.jpg", (4, 4))
    np.testing.assert_array_equal(data.train.in_order()[0][0][0], expected)


def test_pad_keeps_the_aspect_ratio_and_adds_black(tmp_path, save):
    path = save(tmp_path / "a.png", "white", size=(8, 4))
    padded = kertl.data.read_image(path, (8, 8), resize="pad")
    assert (padded[2:6] == 255).all()
    assert padded.sum() == 4 * 8 * 3 * 255


def test_crop_keeps_the_aspect_ratio_and_cuts_both_sides(tmp_path):
    pixels = random_pixels(4, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(kertl.data.read_image(tmp_path / "a.png", (4, 4), resize="crop"), pixels[:, 2:6])


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_every_size_can_be_resized_to_every_other(tmp_path, save, resize, size):
    path = save(tmp_path / "a.png", "white", size=size)
    assert kertl.data.read_image(path, (5, 3), resize).shape == (5, 3, 3)
    assert kertl.data.read_image(path, (64, 1), resize).shape == (64, 1, 3)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.98])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, name, kept):
    Image.fromarray(random_pixels(200, 200)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * kept)])
    refusal(tmp_path / name)


def test_files_that_are_no_images_say_so(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, named in (
        ("empty", "0 bytes"),
        ("text", "not a JPEG"),
        ("link", "does not exist"),
        ("folder", "regular file"),
        ("none", "No such file or directory"),
    ):
        assert_names(refusal(tmp_path / f"{name}.jpg"), named)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("side", "named"), [(10_000, "10000 x 10000"), (20_000, "too large")])
def test_an_image_of_too_many_pixels_is_an_error(tmp_path, side, named):
    (tmp_path / "bomb.png").write_bytes(png_of(side, side, b""))
    assert_names(refusal(tmp_path / "bomb.png"), named, "89478485 pixels")


BOMBS = """
import resource, sys
from pathlib import Path
import kertl.data
from kertl.errors import DataError
from tests.data.faults import bombs, encoded, png_of, scene

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        kertl.data.read_image(path, (8, 8))
    except DataError as error:
        print(str(error).removeprefix(f"The image {str(path)!r} "))
print(peak() - before)
"""


@pytest.mark.promise
@pytest.mark.slow
def test_a_decompression_bomb_takes_no_memory(tmp_path):
    for name, content in bombs().items():
        assert len(content) < 120_000
        (tmp_path / name).write_bytes(content)
    child = subprocess.run(
        [sys.executable, "-c", BOMBS, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=True,
    )
    *errors, megabytes = child.stdout.splitlines()
    assert errors == ["is too large: more than 89478485 pixels. [image-file]"] * 5
    assert int(megabytes) < 30


def test_a_wrong_way_to_resize_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"`resize` must be .*resize='padded'.*'pad'"):
        kertl.data.read_image(tmp_path / "a.png", (8, 8), resize="padded")


def test_images_in_a_file_are_counted_as_far_as_they_can_be_found():
    pages = encoded(scene(), "TIFF", save_all=True, append_images=[scene(seed=1)])
    assert _decode.count_images(_decode.opened(pages), pages) == 2
    first = int.from_bytes(pages[4:8], "little")
    link = first + 2 + 12 * int.from_bytes(pages[first : first + 2], "little")
    damaged = pages[:link] + b"\xff" * 4 + pages[link + 4 :]
    np.testing.assert_array_equal(np.asarray(_decode.upright(_decode.opened(damaged))), np.asarray(scene()))
    assert _decode.count_images(_decode.opened(damaged), damaged) == 0
    preview = encoded(scene(), "MPO", save_all=True, append_images=[scene()])
    assert _decode.opened(preview).n_frames == 2
    assert _decode.count_images(_decode.opened(preview), preview) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"])
def test_every_kind_is_read_the_same_under_every_name(tmp_path, kind):
    content = encoded(scene(), kind)
    read = []
    for suffix in (".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".heic", ""):
        (tmp_path / f"a{suffix}").write_bytes(content)
        read.append(kertl.data.read_image(tmp_path / f"a{suffix}", (48, 64)))
    with Image.open(tmp_path / "a") as saved:
        expected = np.asarray(saved.convert("RGB"))
    for pixels in read:
        np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB", "RGB"])
def test_every_mode_becomes_what_pillow_calls_its_rgb_form(tmp_path, mode):
    kind = {"CMYK": "tif", "YCbCr": "tif", "LAB": "tif"}.get(mode, "png")
    source = scene()
    if mode == "LAB":
        source = Image.merge("LAB", source.split())
    source.convert(mode).save(tmp_path / f"a.{kind}")
    with Image.open(tmp_path / f"a.{kind}") as saved:
        assert saved.mode == mode or (mode == "YCbCr" and saved.mode == "RGB")  # as Pillow 12.0 opens it
        expected = np.asarray(saved.convert("RGB"))
    np.testing.assert_array_equal(kertl.data.read_image(tmp_path / f"a.{kind}", (48, 64)), expected)


def test_bytes_after_the_end_of_an_image_are_passed_over(tmp_path):
    for kind in ("JPEG", "PNG", "GIF"):
        content = encoded(scene(), kind)
        (tmp_path / "whole").write_bytes(content)
        (tmp_path / "longer").write_bytes(content + bytes(1000))
        both = [kertl.data.read_image(tmp_path / name, (48, 64)) for name in ("whole", "longer")]
        np.testing.assert_array_equal(*both)


def test_damaged_files_say_what_is_wrong(tmp_path):
    jpeg, png = encoded(scene(480, 640), "JPEG"), encoded(scene(480, 640), "PNG")
    for content, named in (
        (jpeg[:-2], ("damaged", "4 bytes not processed")),
        (jpeg[: len(jpeg) // 2], ("damaged", "13 bytes not processed")),
        (jpeg[:300], ("damaged", "Truncated File Read")),
        (jpeg[:20], ("damaged", "JPEG", "header")),
        (png[: len(png) // 2], ("damaged", "image file is truncated")),
        (png[:20], ("damaged", "Truncated File Read")),
        (png[:16] + bytes(8) + png[24:], ("damaged", "PNG", "header")),
        (b"", ("0 bytes",)),
        (b"no picture", ("not a JPEG",)),
    ):
        (tmp_path / "a").write_bytes(content)
        assert_names(refusal(tmp_path / "a"), *named)


def test_every_flipped_bit_in_the_pixels_of_a_png_is_found(tmp_path):
    content = encoded(scene(), "PNG")
    start = content.index(b"IDAT") + 4
    end = start + int.from_bytes(content[start - 8 : start - 4], "big") + 4
    for place in np.random.default_rng(0).integers(start, end, 100):
        flipped = bytearray(content)
        flipped[place] ^= 4
        (tmp_path / "a.png").write_bytes(flipped)
        assert_names(refusal(tmp_path / "a.png"), "damaged", "checksum")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypmif1", "HEIC"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"\xff\x0a\x10\x20", "JPEG XL"),
        (encoded(Image.new("RGB", (8, 8)), "JPEG2000"), "JPEG 2000"),
    ],
)
def test_formats_that_are_not_read_are_called_by_their_names(tmp_path, content, kind):
    (tmp_path / "a.jpg").write_bytes(content)
    assert_names(refusal(tmp_path / "a.jpg"), f"{kind} format", "JPEG or PNG")


def test_decoding_does_not_depend_on_what_pillow_calls_the_byte_order():
    assert _decode._eight_bits(Image.new("I;16B", (1, 1), 65535)).getpixel((0, 0)) == 255
