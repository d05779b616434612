import numpy as np
import pytest
from PIL import Image, ImageOps

import kertl.data
from kertl.data import _decode
from kertl.errors import DataError


def random_pixels(height=40, width=60, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


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


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_jpeg_files_give_what_pillow_gives(tmp_path, options):
    path = photo(tmp_path / "a.jpg", **options)
    expected = np.asarray(Image.open(path).resize((30, 20), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(kertl.data.read_image(path, (20, 30)), expected)


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
    with pytest.raises(DataError) as raised:
        kertl.data.read_image(tmp_path / "a.tif", (4, 4))
    assert str(raised.value) == (
        f"The image {str(tmp_path / 'a.tif')!r} has 32-bit pixels, whose range is not known; save it with 8 or 16 bits."
    )


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
    assert [str(issue) for issue in data.issues] == ["'a/1.jpg' looks like 'a/0.jpg'"]
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
    with pytest.raises(DataError) as raised:
        kertl.data.read_image(tmp_path / name, (8, 8))
    assert str(raised.value).startswith(f"The image {str(tmp_path / name)!r} is ")


def test_files_that_are_no_images_say_so(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "folder.jpg").mkdir()
    reasons = {}
    for name in ("empty", "text", "link", "folder", "none"):
        with pytest.raises(DataError) as raised:
            kertl.data.read_image(tmp_path / f"{name}.jpg", (8, 8))
        reasons[name] = str(raised.value).removeprefix(f"The image {str(tmp_path / name) + '.jpg'!r} ")
    assert reasons == {
        "empty": "is empty (0 bytes).",
        "text": "is not a JPEG, PNG, BMP, GIF, WebP or TIFF image.",
        "link": "is a link to a file that does not exist.",
        "folder": "is not a regular file.",
        "none": "cannot be opened: No such file or directory.",
    }


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("side", "named"), [(10_000, "10000 x 10000"), (20_000, "400000000 pixels")])
def test_a_decompression_bomb_is_an_error_before_it_is_decoded(tmp_path, side, named):
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError) as raised:
        kertl.data.read_image(tmp_path / "bomb.png", (8, 8))
    assert str(raised.value).startswith(f"The image {str(tmp_path / 'bomb.png')!r} is too large: ")
    assert named in str(raised.value)


def test_a_wrong_way_to_resize_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="`resize`") as raised:
        kertl.data.read_image(tmp_path / "a.png", (8, 8), resize="padded")
    assert str(raised.value) == (
        "`resize` must be 'stretch' or 'pad' or 'crop'. Received: resize='padded'. Did you mean 'pad'?"
    )


def test_decoding_does_not_depend_on_what_pillow_calls_the_byte_order():
    assert _decode._eight_bits(Image.new("I;16B", (1, 1), 65535)).getpixel((0, 0)) == 255
