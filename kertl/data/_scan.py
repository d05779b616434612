"""Checking every file before training: which can be used, which cannot and why.

Each file is read and decoded to its last row, because a truncated image would otherwise stop training in the middle of
an epoch.
"""

import concurrent.futures
import contextlib
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
    count_images,
    in_flight,
    opened,
    read_file,
    refuse_missing_channels,
    scaled_while_decoded,
    upright,
)
from kertl.data._fit import fit, fit_array, in_channels
from kertl.data._issues import Issue
from kertl.data._kept import KeptPixels
from kertl.data._kinds import IMAGE_SUFFIXES, KINDS, suffix_of
from kertl.data._known import Identity, KnownFiles
from kertl.data._links import Owners
from kertl.data._look_alikes import thumbnail
from kertl.data._verdict import Verdict
from kertl.errors import DataError

_ENOUGH = (256, 256)  # height and width of a JPEG that is decoded for its thumbnail alone
_AT_ONCE = 64  # files that a thread takes at a time


def inspect(
    paths: Sequence[str], channels: int = 3, kept: KeptPixels | None = None, *, again: bool = False
) -> list[Verdict]:
    """A verdict on each file, from reading and decoding all of it in that many channels; a bar shows progress.

    What is decoded goes into `kept`. Files that have not changed since an earlier check are decoded only if `again`.
    """
    known = KnownFiles(paths, channels, again=again)
    portions = (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))
    pool = concurrent.futures.ThreadPoolExecutor(threads())
    with bombs_refused():
        try:
            verdicts = (
                verdict
                for portion in pool.map(functools.partial(_verdicts, channels, kept, known), portions)
                for verdict in portion
            )
            return list(tracked(verdicts, "Checking images", len(paths), "image"))
        finally:
            pool.shutdown(cancel_futures=True)
            known.write()


@contextlib.contextmanager
def bombs_refused() -> Iterator[None]:
    """While files are read in threads: what Pillow merely warns of is too large, and said as that."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _verdicts(channels: int, kept: KeptPixels | None, known: KnownFiles, paths: Sequence[str]) -> list[Verdict]:
    verdicts = []
    for path in paths:
        verdict = known.verdict(path)
        if verdict is None:
            identity = Identity.of(path)
            verdict = _verdict(path, channels, kept)
            known.add(path, identity, verdict)
        verdicts.append(verdict)
    return verdicts


def _verdict(path: str, channels: int, kept: KeptPixels | None) -> Verdict:
    try:
        content, stamp = read_file(path)
        digest = hashlib.sha256(content).hexdigest()
        if is_array_file(content):
            pixels = array_in(content, MAX_PIXELS)
            image = _as_gray(pixels, channels)
            if kept is not None:
                kept.put(path, fit_array(pixels, kept.shape[:2], kept.resize, channels))
            return Verdict("", digest, stamp, KIND, (image.height, image.width), 1, thumbnail(image))
        image = opened(content)
        refuse_missing_channels(image, channels)
        kind, images = KINDS[str(image.format)], count_images(image, content)
        form = (_ENOUGH, "stretch") if kept is None else (kept.shape[:2], kept.resize)
        whole = scaled_while_decoded(image, *form)
        with in_flight(image):
            image = upright(image) if kept is None else upright(image, channels=channels)
            if kept is not None:
                kept.put(path, in_channels(fit(image, *form, whole), channels))
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


def walk(folder: Path, issues: list[Issue], root: Path, owners: Owners) -> Iterator[str]:
    """The path of every file below `folder` that may be an image, in the order of their names.

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
        with os.scandir(here) as found:
            links = {one.name for one in found if one.is_symlink()}
        start = beginning(Path(here))
        for name in sorted(files):
            stray = owners.stray(Path(here, name), folder) if name in links else ""
            if is_hidden(name):
                stray = "is a hidden file" if suffix_of(name) in IMAGE_SUFFIXES else ""
            elif not stray:
                yield start + name
            if stray:
                issues.append(Issue(relative(Path(here, name), root), stray))


def is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the operating system or an editor and not to a data set."""
    return name.startswith(".") or name in ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")


def relative(path: Path, root: Path) -> str:
    """`path` relative to `root`, with slashes on every system; unchanged if it lies elsewhere."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def beginning(folder: Path) -> str:
    """What the paths of all files in a folder begin with; a `Path` for each of a million files takes its time."""
    return str(folder / "_")[:-1]


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts 2 before 10."""
    return [int(part) if part.isdecimal() else part.casefold() for part in re.split(r"(\d+)", name)], name
