"""Files that are wrong in ways that a test needs in more than one place."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image, kind, **options):
    """The content of a file that holds an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def scene(height=48, width=64, seed=0):
    """A picture of soft patches with some grain, different for every seed."""
    rng = np.random.default_rng(seed)
    patches = Image.fromarray(rng.integers(30, 226, (5, 6, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return Image.fromarray((np.asarray(patches) + rng.integers(0, 8, (height, width, 3))).clip(0, 255).astype(np.uint8))


def png_of(width, height, rows):
    """A PNG file of one bit per pixel, whose compressed rows are given."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bombs():
    """Small files that would fill gigabytes if they were decoded."""
    compressor = zlib.compressobj(9)
    black = b"".join(compressor.compress(bytes(1 + 3750)) for _ in range(30_000)) + compressor.flush()
    gif = encoded(Image.new("P", (1, 1)), "GIF")
    bmp = bytearray(encoded(Image.new("1", (8, 8)), "BMP"))
    bmp[18:26] = struct.pack("<ii", 30_000, 30_000)
    tif = encoded(Image.new("1", (8, 8)), "TIFF")
    for tag in (256, 257):
        at = tif.index(struct.pack("<HHI", tag, 4, 1))
        tif = tif[: at + 2] + struct.pack("<HII", 4, 1, 30_000) + tif[at + 12 :]
    webp = bytearray(
        encoded(Image.new("RGB", (8, 8)), "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8), 9)])
    )
    at = webp.index(b"VP8X") + 12
    webp[at : at + 6] = b"\xff\x3f\0" * 2
    return {
        "a.png": png_of(30_000, 30_000, black),
        "a.gif": gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        "a.bmp": bytes(bmp),
        "a.tif": tif,
        "a.webp": bytes(webp),
    }
