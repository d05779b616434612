"""What a SavedModel decodes itself, beside `kertl.data.read_image`."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import kertl
from kertl.exporting._decoding import decoded
from tests.exporting.colours import solved

SIZE = (24, 32)


def pixels(height=45, width=61, channels=3):
    """A smooth picture, in which rounding does not become large."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (4 + k)) * np.cos(y / (7 - k)) for k in range(channels)]
    return np.stack([np.uint8(128 + 100 * wave) for wave in waves], axis=-1)


def encoded(image, kind="PNG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(pixels()), "JPEG", quality=95, exif=exif)


FILES = {
    "colour": encoded(Image.fromarray(pixels())),
    "gray": encoded(Image.fromarray(pixels()[..., 0])),
    "transparent": encoded(Image.fromarray(pixels(channels=4))),
    "gray and alpha": encoded(Image.fromarray(pixels(channels=2))),
    "sixteen bits": encoded(Image.fromarray(pixels()[..., 0].astype("uint16") * 257)),
    "small": encoded(Image.fromarray(pixels(9, 7))),
    "JPEG of gray": encoded(Image.fromarray(pixels()[..., 0]), "JPEG", quality=95),
    "JPEG of CMYK": encoded(Image.fromarray(pixels()).convert("CMYK"), "JPEG", quality=95),
    "GIF": encoded(Image.fromarray(pixels()[..., 0]), "GIF"),
    "BMP": encoded(Image.fromarray(pixels()), "BMP"),
    "JPEG": encoded(Image.fromarray(pixels()), "JPEG", quality=95),
    "large JPEG": encoded(Image.fromarray(pixels(450, 310)), "JPEG", quality=95),
    **{f"orientation {number}": turned(number) for number in range(1, 9)},
}


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_graph_decodes_and_resizes_as_read_image_does(resize, channels):
    graph = tf.function(
        lambda content: decoded(content, SIZE, channels, resize), input_signature=[tf.TensorSpec([], tf.string)]
    )
    for name, content in FILES.items():
        expected = kertl.data.read_image(content, SIZE, resize, channels=channels).astype(float)
        found = graph(tf.constant(content)).numpy()
        assert found.shape == (*SIZE, channels)
        # JPEG is decoded by two libraries; all else differs by the rounding in between.
        most = 6 if "JPEG" in name or "orientation" in name else 2
        assert np.abs(found - expected).max() <= most, name
        assert np.abs(found - expected).mean() < 1, name


def test_exif_data_of_either_byte_order_and_none_at_all_are_read():
    content = turned(6)
    assert b"MM\x00*" in content
    start = content.index(b"MM\x00*")
    little = content[:start] + b"II*\x00\x08\x00\x00\x00\x01\x00" + b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    rest = content[start + 8 + 2 + 12 :]
    both = [decoded(tf.constant(one), SIZE, 3, "stretch").numpy() for one in (content, little + rest)]
    np.testing.assert_array_equal(*both)


def test_a_saved_model_takes_the_bytes_of_files_and_gives_names(tmp_path):
    model, data = solved()
    model = kertl.model.describe(model, resize="pad")
    kertl.export(model, tmp_path / "saved", format="saved_model", data=data)
    signature = tf.saved_model.load(tmp_path / "saved").signatures["image_files"]
    contents = [FILES["colour"], FILES["orientation 6"]]
    said = signature(contents=tf.constant(contents))
    assert [[name.decode() for name in row] for row in said["class_names"].numpy()] == [data.class_names] * 2
    np.testing.assert_allclose(said["probabilities"].numpy(), kertl.predict(model, contents), atol=0.02)


def test_a_saved_model_of_a_run_is_checked_on_its_files(finished, tmp_path):
    found = kertl.export(finished.run_dir, tmp_path / "saved", format="saved_model")
    assert 0 <= found.files_difference < 0.01, "the files are as large as the model's pictures"
    assert "from image files" in found.table()
