"""Checking every file before training: which can be used, which cannot and why.

Each file is read and decoded to its last row, because a truncated image would otherwise stop training in the middle of
an epoch.
"""

import concurrent.futures
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
from rich.progress import track

from kertl._terminal import CONSOLE, shown
from kertl.data._array_files import KIND, array_in, is_array_file, refuse_other_channels
from kertl.data._decode import (
    MAX_PIXELS,
    Stamp,
    count_images,
    opened,
    read_file,
    refuse_missing_channels,
    upright,
)
from kertl.data._issues import Issue
from kertl.data._kinds import IMAGE_SUFFIXES, KINDS
from kertl.data._look_alikes import thumbnail
from kertl.errors import DataError

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


def threads() -> int:
    """How many files are read at once: one per core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inspect(paths: Sequence[str], channels: int = 3) -> list[Verdict]:
    """A verdict on each file, from reading and decoding all of it in that many channels; a bar shows progress."""
    portions = (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))
    pool = concurrent.futures.ThreadPoolExecutor(threads())
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            verdicts = (
                verdict for portion in pool.map(functools.partial(_verdicts, channels), portions) for verdict in portion
            )
            return list(
                track(
                    verdicts,
                    description="Checking images",
                    total=len(paths),
                    console=CONSOLE,
                    transient=True,
                    disable=not shown("auto"),
                )
            )
        finally:
            pool.shutdown(cancel_futures=True)


def _verdicts(channels: int, paths: Sequence[str]) -> list[Verdict]:
    return [_verdict(path, channels) for path in paths]


def _verdict(path: str, channels: int) -> Verdict:
    try:
        content, stamp = read_file(path)
        if is_array_file(content):
            kind, images, image = KIND, 1, _as_gray(array_in(content, MAX_PIXELS), channels)
        else:
            image = opened(content)
            refuse_missing_channels(image, channels)
            kind, images = KINDS[str(image.format)], count_images(image, content)
            image = upright(image)
    except DataError as error:
        return Verdict(reason=str(error))
    return Verdict(
        sha256=hashlib.sha256(content).hexdigest(),
        stamp=stamp,
        kind=kind,
        size=(image.height, image.width),
        images=images,
        thumbnail=thumbnail(image),
    )


def _as_gray(pixels: np.ndarray, channels: int) -> Image.Image:
    """The mean of all channels, for the thumbnail."""
    refuse_other_channels(pixels.shape, channels)
    return Image.fromarray(pixels.mean(axis=-1, dtype=np.float32).astype(np.uint8))


def walk(folder: Path, issues: list[Issue], root: Path) -> Iterator[Path]:
    """Every file below `folder` that may be an image, links followed, in the order of their names.

    Hidden files and folders and archive leftovers are skipped; those that look like images are added to `issues`.
    """

    def report(error: OSError) -> None:
        issues.append(Issue(relative(Path(error.filename), root), f"cannot be opened: {error.strerror}"))

    seen = set()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=report):
        if os.path.realpath(here) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(os.path.realpath(here))
        for name in [name for name in folders if is_hidden(name)]:
            folders.remove(name)
            issues.append(Issue(relative(Path(here, name), root), "is a hidden folder"))
        folders.sort()
        for name in sorted(files):
            if not is_hidden(name):
                yield Path(here, name)
            elif Path(name).suffix.lower() in IMAGE_SUFFIXES:
                issues.append(Issue(relative(Path(here, name), root), "is a hidden file"))


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the operating system or an editor and not to a data set."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")


def relative(path: Path, root: Path) -> str:
    """`path` relative to `root`, with slashes on every system; unchanged if it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts 2 before 10."""
    return [int(part) if part.isdecimal() else part.casefold() for part in re.split(r"(\d+)", name)], name
