"""What a file is, by its first bytes and by its name.

Content decides how an image is read; the name is only compared with it.
"""

import re

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "HEIC": (".heic", ".heif"),
    "AVIF": (".avif",),
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k"),
    "NumPy": (".npy",),
}
READ = ("JPEG", "PNG", "BMP", "GIF", "WebP", "TIFF")
KINDS = {kind.upper(): kind for kind in READ} | {"MPO": "JPEG"}  # by the names that Pillow uses
IMAGE_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)

_BEGINNINGS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "BMP": rb"BM.{4}\0\0\0\0",
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF.{4}WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "HEIC": rb".{4}ftyp(hei|hev|mif1|msf1)",
    "AVIF": rb".{4}ftypavi",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "JPEG 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "NumPy": rb"\x93NUMPY",
}
_PATTERNS = {kind: re.compile(beginning, re.DOTALL) for kind, beginning in _BEGINNINGS.items()}


def kind_of(content: bytes) -> str:
    """The kind of image that the content begins as, or an empty string."""
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.match(content)), "")


def suffix_of(file: str) -> str:
    """The end of a file's name from its last dot on, in small letters, as `PurePath.suffix` has it but quicker."""
    stem, dot, end = file.rpartition("/")[2].rpartition(".")
    return dot + end.lower() if stem and end else ""


def belied(file: str, kind: str) -> bool:
    """Whether the name of a file suggests another kind of image than its content."""
    suffix = suffix_of(file)
    return suffix in IMAGE_SUFFIXES and suffix not in SUFFIXES[kind]
