"""Looking at every file before training: what can be used, what cannot and why.

Each file is read and decoded to its last row, because a truncated image would otherwise stop an epoch at its end.
"""

import concurrent.futures
import dataclasses
import hashlib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track

from kertl.data._decode import decode, read_bytes
from kertl.errors import DataError

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".heic", ".avif"))


@dataclasses.dataclass(frozen=True)
class Issue:
    """Something to know about a file before trusting what is trained on it."""

    path: str
    """The file, as the records name it."""
    reason: str
    """Why it was left out, or what is odd about it."""
    left_out: bool = True
    """Whether the file takes no part in any of the splits."""

    def __str__(self) -> str:
        return f"{self.path!r} {self.reason}"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What reading one file showed: the digest of its content, or the reason why it cannot be used."""

    sha256: str = ""
    reason: str = ""


def threads() -> int:
    """How many files are read at once: one per core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def inspect(paths: Sequence[Path]) -> list[Verdict]:
    """A verdict on each file, from reading and decoding all of it; a bar shows progress on a terminal."""
    with concurrent.futures.ThreadPoolExecutor(threads()) as pool, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        verdicts = track(
            pool.map(_verdict, paths),
            description="Checking images",
            total=len(paths),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
        return list(verdicts)


def _verdict(path: Path) -> Verdict:
    try:
        content = read_bytes(path)
        decode(content)
    except DataError as error:
        return Verdict(reason=str(error))
    return Verdict(sha256=hashlib.sha256(content).hexdigest())


def walk(folder: Path, issues: list[Issue], root: Path) -> Iterator[Path]:
    """Every file below `folder` that may be an image, links followed, in the order of their names.

    Hidden files and folders and archive leftovers are passed over; those that look like images are added to `issues`.
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
    """Whether a file or folder is the operating system's or an editor's, not a data set's."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def relative(path: Path, root: Path) -> str:
    """`path` below `root`, with slashes, the same on every system; whole if it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts 2 before 10."""
    return [int(part) if part.isdecimal() else part.casefold() for part in re.split(r"(\d+)", name)], name
