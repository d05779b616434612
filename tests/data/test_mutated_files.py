"""Files damaged at random, as disks, networks and interrupted copies damage them."""

import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import kertl.data
from kertl.errors import DataError
from tests.data.faults import encoded, scene
from tests.messages import assert_names

COUNT = 1000


def whole_files():
    """Images in every format that is read, in many of the ways that Pillow writes each."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    image, other = scene(), scene(seed=1)
    gray16 = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    several = {"save_all": True, "append_images": [other, image.rotate(90)]}
    yield from (encoded(image, "JPEG", exif=exif), encoded(image, "JPEG", progressive=True))
    yield encoded(image.convert("CMYK"), "JPEG")
    yield from (encoded(image, "PNG", exif=exif), encoded(image.quantize(32), "PNG", transparency=3))
    yield from (encoded(image.convert("LA"), "PNG"), encoded(gray16, "PNG"), encoded(image, "PNG", **several))
    yield from (encoded(image, "GIF"), encoded(image, "GIF", **several))
    yield from (encoded(image, "WEBP"), encoded(image, "WEBP", lossless=True, exif=exif))
    yield encoded(image, "WEBP", **several)
    yield from (encoded(image, "BMP"), encoded(image.quantize(32), "BMP"), encoded(image.convert("1"), "BMP"))
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        yield encoded(image, "TIFF", compression=compression)
    yield from (encoded(image.convert("1"), "TIFF", compression="group4"), encoded(gray16, "TIFF"))
    yield encoded(image, "TIFF", **several)
    yield encoded(
        image, "MPO", **several
    )  # the last, since it leaves settings in the images that other formats mistake


def mutated(files, rng):
    """One of the files with flipped bits, its end cut off or another's, a wrong header, a part missing or twice."""
    content = bytearray(files[rng.integers(len(files))])
    size = len(content)
    low, high = sorted(rng.integers(0, size, 2))
    match rng.choice(["flip", "cut", "splice", "header", "zero", "insert", "repeat"]):
        case "flip":
            for place in rng.integers(0, size, rng.integers(1, 9)):
                content[place] ^= 1 << int(rng.integers(8))
        case "cut":
            del content[low:]
        case "splice":
            other = files[rng.integers(len(files))]
            content[low:] = other[rng.integers(len(other)) :]
        case "header":
            for place in rng.integers(0, min(size, 160), rng.integers(1, 6)):
                content[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
        case "zero":
            content[low : low + 64] = bytes(len(content[low : low + 64]))
        case "insert":
            content[low:low] = rng.bytes(rng.integers(1, 32))
        case "repeat":
            content[high:high] = content[low:high]
    return bytes(content)


def test_of_a_thousand_damaged_files_none_is_fatal_and_none_unnamed(tmp_path):
    rng = np.random.default_rng(0)
    files = list(whole_files())
    (tmp_path / "a").mkdir()
    for k in range(COUNT):
        (tmp_path / "a" / f"{k}.jpg").write_bytes(mutated(files, rng))
    start = time.process_time()
    data = kertl.data.from_directory(tmp_path, image_size=(8, 8), validation=0, test=0)
    left_out = {issue.path: issue.reason for issue in data.issues if issue.left_out}
    used = {record.file for record in data.records}
    assert used.isdisjoint(left_out)
    assert used | set(left_out) == {f"a/{k}.jpg" for k in range(COUNT)}
    assert len(left_out) > 400
    assert len(used) > 200
    kinds = ("damaged", "not a JPEG", "too large", "0 bytes", "32-bit")
    assert all(any(kind in reason for kind in kinds) for reason in left_out.values()), Counter(left_out.values())
    for file, reason in left_out.items():
        with pytest.raises(DataError) as raised:
            kertl.data.read_image(tmp_path / file, (8, 8))
        assert_names(raised.value, tmp_path / file, reason)
    assert sum(len(images) for images, _ in data.train) == len(used)
    assert time.process_time() - start < 60
