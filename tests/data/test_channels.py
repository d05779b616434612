"""Images of any number of channels, from every source."""

import io

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

import kertl
from kertl.errors import DataError
from tests.messages import assert_names


def noise(channels, height=6, width=9, count=None, dtype="uint8"):
    shape = (height, width, channels) if count is None else (count, height, width, channels)
    return np.random.default_rng(channels).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def png(pixels, mode=None):
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels, mode)).save(stream, "png")
    return stream.getvalue()


def npy(pixels):
    stream = io.BytesIO()
    np.save(stream, pixels)
    return stream.getvalue()


def tiff(pixels):
    """A plain uncompressed TIFF file of any number of 8-bit channels, none of which is said to be alpha."""
    height, width, channels = pixels.shape
    tags = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
    tags.update({256: width, 257: height, 258: (8,) * channels, 259: 1, 262: 2, 273: 0, 277: channels, 278: height})
    tags.update({279: pixels.size, 338: (0,) * (channels - 3)})
    for tag in (258, 338):
        tags.tagtype[tag] = 3
    length = len(tags.tobytes(8))
    tags[273] = 8 + length
    return b"II*\0\x08\0\0\0" + tags.tobytes(8) + pixels.tobytes()


def read(content, channels, size=(6, 9), **options):
    return kertl.data.read_image(content, size, channels=channels, **options)


def test_a_grey_image_has_one_channel_whatever_its_file_has():
    colours = noise(3)
    grey = read(png(colours), 1)
    assert grey.shape == (6, 9, 1)
    expected = np.asarray(Image.fromarray(colours).convert("L"))[..., None]
    np.testing.assert_array_equal(grey, expected)
    np.testing.assert_array_equal(read(png(expected[..., 0]), 1), expected)
    np.testing.assert_array_equal(read(png(expected[..., 0]), 3), np.repeat(expected, 3, axis=-1))


def test_alpha_is_kept_in_two_and_four_channels_and_is_255_where_there_is_none():
    pixels = noise(4)
    np.testing.assert_array_equal(read(png(pixels), 4), pixels)
    np.testing.assert_array_equal(read(png(pixels), 2)[..., 1], pixels[..., 3])
    opaque = read(png(pixels[..., :3].copy()), 4)
    np.testing.assert_array_equal(opaque[..., :3], pixels[..., :3])
    assert (opaque[..., 3] == 255).all()


def test_the_colour_of_what_is_transparent_survives_resizing():
    pixels = np.zeros((8, 8, 4), "uint8")
    pixels[..., 0] = 200
    for resize in ("stretch", "crop"):
        np.testing.assert_array_equal(read(png(pixels), 4, (4, 6), resize=resize)[..., 0], 200)
    assert read(Image.fromarray(pixels), 4, (4, 4))[0, 0].tolist() == [200, 0, 0, 0]


def test_a_palette_with_transparency_and_sixteen_bits_come_out_in_every_number_of_channels():
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 250, 10, 10])
    palette.info["transparency"] = 1
    content = io.BytesIO()
    palette.save(content, "png", transparency=1)
    assert read(content.getvalue(), 4, (1, 1)).tolist() == [[[250, 10, 10, 0]]]
    assert read(content.getvalue(), 1, (1, 1)).tolist() == [[[255]]]
    deep = png(Image.fromarray(np.full((4, 4), 65535, "uint16")))
    for channels in (1, 2, 3, 4):
        assert read(deep, channels, (1, 1)).tolist() == [[[255] * channels]]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2"])
def test_a_numpy_file_gives_its_own_channels(channels, dtype):
    values = noise(channels, dtype=np.dtype(dtype).newbyteorder("="))
    expected = values if values.dtype == np.uint8 else np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(read(npy(values.astype(dtype)), channels), expected)
    np.testing.assert_array_equal(read(npy(np.asfortranarray(values)), channels), expected)
    for resize in ("stretch", "pad", "crop"):
        each = [read(npy(values[..., band]), 1, (4, 4), resize=resize) for band in range(channels)]
        if channels != 3:
            np.testing.assert_array_equal(read(npy(values), channels, (4, 4), resize=resize), np.concatenate(each, -1))


def test_a_numpy_file_of_one_channel_or_three_is_read_like_any_other_image():
    colours = noise(3, 40, 30)
    for channels in (1, 3):
        for pixels in (colours, colours[..., 0].copy()):
            expected = read(png(pixels), channels, (20, 20), resize="pad")
            np.testing.assert_array_equal(read(npy(pixels), channels, (20, 20), resize="pad"), expected)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy(noise(5).astype("float32")), ["float32", "uint8 or uint16"]),
        (npy(np.zeros(5, "uint8")), ["shape (5,)", "(height, width, channels)"]),
        (npy(np.zeros((0, 4, 3), "uint8")), ["shape (0, 4, 3)"]),
        (npy(noise(5))[:-1], ["truncated or damaged"]),
        (npy(noise(5))[:20], ["truncated or damaged", "NumPy"]),
        (npy(noise(5)).replace(b"(6, 9, 5)", b"(9**9,5)  "), ["truncated or damaged"]),
        (npy(np.zeros((1, 1, 5), "uint8")).replace(b"(1, 1, 5), ", b"(99999, 99999, 5), ", 1)[:128], ["too large"]),
        (npy(noise(5)), ["5 channels", "channels=4", "Pass channels=5"]),
        (npy(np.moveaxis(noise(4, 32, 32), -1, 0)), ["32 channels", "come last"]),
        (tiff(noise(4)), ["4 channels", "TIFF", ".npy"]),
        (tiff(noise(9)), ["9 channels", "TIFF", ".npy"]),
    ],
)
def test_what_a_file_lacks_is_said(content, words):
    with pytest.raises(DataError) as caught:
        read(content, 4)
    assert_names(caught.value, *words)


def test_a_numpy_file_that_needs_pickle_is_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DataError, match="object pixels"):
        kertl.data.read_image(tmp_path / "a.npy", (4, 4))


@pytest.mark.parametrize("channels", [5, 0, "3"])
def test_channels_that_a_png_cannot_have_are_refused(channels):
    with pytest.raises((DataError, ValueError), match="channels") as caught:
        read(png(noise(3)), channels)
    if channels == 5:
        assert_names(caught.value, "3 channels", "channels=5", ".npy", "Pass channels=3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of NumPy files of five channels, and a PNG file among them."""
    root = tmp_path_factory.mktemp("bands")
    for number in range(16):
        place = root / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        np.save(place / f"{number}.npy", np.random.default_rng(number).integers(0, 256, (8, 8, 5), "uint8"))
    (root / "a" / "plain.png").write_bytes(png(noise(3)))
    return root


def test_a_folder_of_numpy_files_is_a_data_set_and_what_has_other_channels_is_an_issue(folder):
    data = kertl.data.from_directory(folder, image_size=(8, 8), channels=5, batch_size=4)
    assert (data.channels, data.train.channels, data.validation[0][0].shape[-1]) == (5, 5, 5)
    np.testing.assert_array_equal(data.train.in_order()[0][0][0], np.load(data.train.files[0]))
    assert "channels=5" in repr(data)
    (issue,) = data.issues
    assert_names(issue, "plain.png", "3 channels", "channels=5")
    with pytest.raises(DataError) as caught:
        kertl.data.from_directory(folder, image_size=(8, 8))
    assert_names(caught.value, "5 channels", "Pass channels=5")


def test_images_and_tables_take_the_channels_too(folder):
    found = kertl.data.images(folder / "b", image_size=(4, 4), channels=5)
    assert found[0][0].shape == (8, 4, 4, 5)
    rows = [f"{'ab'[number % 2]}/{number}.npy,{'ab'[number % 2]}" for number in range(16)]
    (folder / "labels.csv").write_text("\n".join(["file,label", *rows]))
    data = kertl.data.from_csv(folder / "labels.csv", image_size=(4, 4), channels=5, cache="memory")
    assert data.train[0][0].shape[1:] == data.changed(image_size=(4, 4)).test[0][0].shape[1:] == (4, 4, 5)


@pytest.mark.parametrize("source", ["arrays", "dataset"])
def test_arrays_have_the_channels_that_are_asked_for(source):
    def made(x, **options):
        y = [0, 1] * (len(x) // 2)
        if source == "arrays":
            return kertl.data.from_arrays(x, y, validation=0, test=0, **options)
        return kertl.data.from_dataset((x, y), **options)

    bands = noise(6, count=8)
    data = made(bands, channels=6)
    np.testing.assert_array_equal(data.train.in_order()[0][0], bands)
    assert made(bands, channels=6, image_size=(3, 3)).train[0][0].shape == (8, 3, 3, 6)
    colours = noise(3, count=8)
    grey = made(colours, channels=1).train.in_order()[0][0]
    np.testing.assert_array_equal(grey[0], read(png(colours[0]), 1))
    np.testing.assert_array_equal(made(grey).train.in_order()[0][0], np.repeat(grey, 3, axis=-1))
    with pytest.raises(DataError) as caught:
        made(bands)
    assert_names(caught.value, "(n, height, width, 3)", "(8, 6, 9, 6)", "Pass channels=6")
    with pytest.raises(DataError) as caught:
        made(np.moveaxis(colours, -1, 1))
    assert_names(caught.value, "(8, 3, 6, 9)", "x.transpose(0, 2, 3, 1)")


def test_files_are_decoded_anew_in_other_channels_and_arrays_only_between_grey_and_colour(tmp_path):
    for number in range(8):
        place = tmp_path / "ab"[number % 2]
        place.mkdir(exist_ok=True)
        (place / f"{number}.png").write_bytes(png(noise(4) + np.uint8(number)))
    options = {"image_size": (6, 9), "validation": 0.25, "test": 0}
    one, four = (kertl.data.from_directory(tmp_path, channels=channels, **options) for channels in (1, 4))
    turned = one.changed(channels=4)
    assert (turned.channels, one.changed(channels=1)) == (4, one)
    for part in ("train", "validation"):
        np.testing.assert_array_equal(getattr(turned, part)[0][0], getattr(four, part)[0][0])
    with pytest.raises(DataError, match="channels"):
        kertl.data.joined([one.train, four.validation])
    arrays = kertl.data.from_arrays(noise(3, count=8), [0, 1] * 4)
    assert arrays.changed(channels=1).train[0][0].shape[-1] == 1
    with pytest.raises(DataError, match="4"):
        _ = arrays.changed(channels=4).train


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_what_needs_colour_is_refused_and_all_else_varies_any_number_of_channels(channels):
    from kertl.data.augment import TRANSFORMATIONS, layers, varied

    x = noise(channels, 16, 16, 2)
    for name in TRANSFORMATIONS:
        if name in ("saturation", "hue", "color_jitter", "rand_augment"):
            with pytest.raises(ValueError, match="augment") as caught:
                layers([name], channels)
            assert_names(caught.value, repr(name), f"{channels} channels", "'brightness' and 'contrast'")
        else:
            found = varied(layers([name], channels), x, 3)
            assert found.shape == x.shape, name
            assert any(np.abs(varied(layers([name], channels), x, seed) - x).max() > 0 for seed in range(6)), name


def test_an_augmentation_of_grey_images_is_drawn(tmp_path):
    for channels in (1, 2, 5):
        data = kertl.data.from_arrays(noise(channels, 16, 16, 8), [0, 1] * 4, channels=channels, validation=0, test=0)
        kertl.data.preview_augmentation(data, "light", tmp_path / f"{channels}.png", images=2, versions=1)
        assert (tmp_path / f"{channels}.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "shape", ["(-4, -4, 3)", "(True, 4, 3)", "-" * 9000 + "1", "(0, 4, 3)"], ids=lambda text: text[:9]
)
def test_a_numpy_file_of_an_impossible_shape_is_refused(shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    content = b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + bytes(48)
    with pytest.raises(DataError):
        read(content, 3)
