"""Checking every file before training: which can be used, which cannot and why.

Each file is read and decoded to its last row, because a truncated image would otherwise stop training in the middle of
an epoch.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from kertl._terminal import tracked
from kertl.data._array_files import KIND, array_in, is_array_file, refuse_other_channels
from kertl.data._budget import threads
from kertl.data._decode import (
    MAX_PIXELS,
    Stamp,
    count_images,
    in_flight,
    opened,
    read_file,
    refuse_missing_channels,
    scaled_while_decoded,
    upright,
)
from kertl.data._issues import Issue
from kertl.data._kinds import IMAGE_SUFFIXES, KINDS
from kertl.data._links import Owners
from kertl.data._look_alikes import thumbnail
from kertl.errors import DataError

_LEAST_SIDE = 256  # of a JPEG that is decoded for its thumbnail alone
_AT_ONCE = 64  # files that a thread takes at a time
_NO_STAMP = Stamp(0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What reading one file showed."""

    reason: str = ""
    """Why it cannot be used; in that case nothing else is known."""
    sha256: str = ""
    """Digest of its content."""
    stamp: Stamp = _NO_STAMP
    """Its size and time."""
    kind: str = ""
    """What its content is, one of `READ`."""
    size: tuple[int, int] = (0, 0)
    """`(height, width)` of the image in it."""
    images: int = 1
    """How many images are in it, frames of an animation or pages; 0 for several that cannot all be read."""
    thumbnail: bytes = b""
    """See `kertl.data._look_alikes`."""


def inspect(paths: Sequence[str], channels: int = 3) -> list[Verdict]:
    """A verdict on each file, from reading and decoding all of it in that many channels; a bar shows progress."""
    portions = (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))
    pool = concurrent.futures.ThreadPoolExecutor(threads())
    with bombs_refused():
        try:
            verdicts = (
                verdict for portion in pool.map(functools.partial(_verdicts, channels), portions) for verdict in portion
            )
            return list(tracked(verdicts, "Checking images", len(paths), "image"))
        finally:
            pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def bombs_refused() -> Iterator[None]:
    """While files are read in threads: what Pillow merely warns of is too large, and said as that."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _verdicts(channels: int, paths: Sequence[str]) -> list[Verdict]:
    return [_verdict(path, channels) for path in paths]


def _verdict(path: str, channels: int) -> Verdict:
    try:
        content, stamp = read_file(path)
        digest = hashlib.sha256(content).hexdigest()
        if is_array_file(content):
            image = _as_gray(array_in(content, MAX_PIXELS), channels)
            return Verdict("", digest, stamp, KIND, (image.height, image.width), 1, thumbnail(image))
        image = opened(content)
        refuse_missing_channels(image, channels)
        kind, images = KINDS[str(image.format)], count_images(image, content)
        whole = scaled_while_decoded(image, (_LEAST_SIDE, _LEAST_SIDE), "stretch")
        with in_flight(image):
            image = upright(image)
            width, height = whole or image.size
            return Verdict("", digest, stamp, kind, (height, width), images, thumbnail(image))
    except DataError as error:
        return _refusal(error.message)


@functools.lru_cache(1024)
def _refusal(reason: str) -> Verdict:
    """One for all files that cannot be used for that reason: a table may name millions that do not exist."""
    return Verdict(reason)


def _as_gray(pixels: np.ndarray, channels: int) -> Image.Image:
    """The mean of all channels, for the thumbnail."""
    refuse_other_channels(pixels.shape, channels)
    return Image.fromarray(pixels.mean(axis=-1, dtype=np.float32).astype(np.uint8))


def walk(folder: Path, issues: list[Issue], root: Path, owners: Owners) -> Iterator[Path]:
    """Every file below `folder` that may be an image, in the order of their names.

    Links are followed, except to what `owners` say is of another class, and to folders around their own, which are
    added to `issues`. Hidden files and folders and archive leftovers are skipped; those that look like images are added
    too.
    """

    def report(error: OSError) -> None:
        issues.append(Issue(relative(Path(error.filename), root), f"cannot be opened: {error.strerror}"))

    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=report):
        if os.path.realpath(here) in seen:  # a link that leads back
            folders.clear()
            continue
        stray = owners.stray(Path(here), folder)
        if stray:
            folders.clear()
            issues.append(Issue(relative(Path(here), root), stray))
            continue
        seen.add(os.path.realpath(here))
        for name in [name for name in folders if is_hidden(name)]:
            folders.remove(name)
            issues.append(Issue(relative(Path(here, name), root), "is a hidden folder"))
        folders.sort()
        for name in sorted(files):
            path = Path(here, name)
            stray = owners.stray(path, folder) if path.is_symlink() else ""
            if is_hidden(name):
                stray = "is a hidden file" if path.suffix.lower() in IMAGE_SUFFIXES else ""
            elif not stray:
                yield path
            if stray:
                issues.append(Issue(relative(path, root), stray))


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the operating system or an editor and not to a data set."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")


def relative(path: Path, root: Path) -> str:
    """`path` relative to `root`, with slashes on every system; unchanged if it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts 2 before 10."""
    return [int(part) if part.isdecimal() else part.casefold() for part in re.split(r"(\d+)", name)], name
