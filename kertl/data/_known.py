"""What earlier checks found of files that have not changed since, so that a second start decodes nothing.

A file counts as unchanged if its size, the times of its content and of its directory entry, and three samples of its
content are the same. One that was written less than two seconds before it was checked is not remembered, since it could
change once more without another time. Files that cannot be used are checked anew each time.
"""

import contextlib
import hashlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import PIL

from kertl._places import cache_folder
from kertl.data._decode import Stamp, is_readable
from kertl.data._kinds import SUFFIXES
from kertl.data._look_alikes import HEIGHT, WIDTH
from kertl.data._verdict import Verdict

_logger = logging.getLogger(__name__)

_READER = f"1 {PIL.__version__}"  # what is remembered of another Pillow, or in another format, does not count
_SETTLED = 2_000_000_000  # nanoseconds
_SAMPLE = 4096  # bytes, at the beginning, in the middle and at the end
_MOST = 1_000_000  # files that are remembered, some 600 MB
_WAIT = 5.0  # seconds, for another process that writes
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB, channels INTEGER, reader TEXT, size INTEGER, mtime INTEGER, ctime INTEGER, sample BLOB,
    sha256 TEXT, kind TEXT, height INTEGER, width INTEGER, images INTEGER, thumbnail BLOB,
    PRIMARY KEY (path, channels))
"""
_COLUMNS = re.findall(r"(\w+) (?:BLOB|INTEGER|TEXT)\b", _TABLE)
_SELECT = "SELECT * FROM files WHERE channels = ? AND reader = ? AND path IN ({})"
_AT_ONCE = 500  # files that are asked for in one query
_INSERT = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Identity(NamedTuple):
    """What tells a file from itself after a change, without reading all of it."""

    size: int
    mtime: int
    ctime: int
    sample: bytes

    @classmethod
    def of(cls, path: str) -> "Identity | None":
        """That of a file; None if it cannot be read."""
        try:
            place = Path(path)
            found = place.stat()
            if not is_readable(found):
                return None
            with place.open("rb", buffering=0) as file:
                samples = hashlib.sha256(file.read(_SAMPLE))
                for start in (found.st_size // 2, max(0, found.st_size - _SAMPLE)):
                    file.seek(start)
                    samples.update(file.read(_SAMPLE))
        except (OSError, ValueError):
            return None
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, samples.digest())


class KnownFiles:
    """Verdicts of earlier checks on some files.

    Args:
        paths: The files.
        channels: Channels in which they are read.
        again: Whether all are to be checked again; what is found then is remembered.
    """

    def __init__(self, paths: Sequence[str], channels: int, *, again: bool = False) -> None:
        self._channels = channels
        self._found: list[tuple[object, ...]] = []
        self._known: dict[str, tuple[Identity, Verdict]] = {}
        if not again:
            _with_database(lambda database: self._read(database, paths))

    def verdict(self, path: str) -> Verdict | None:
        """What was found of a file that has not changed; None if nothing is known."""
        known = self._known.get(path)
        return known[1] if known is not None and Identity.of(path) == known[0] else None

    def add(self, path: str, identity: Identity | None, verdict: Verdict) -> None:
        """Remember what was found of a file that had this identity before; threads may do so at the same time."""
        if identity is None or verdict.reason or max(identity.mtime, identity.ctime) > time.time_ns() - _SETTLED:
            return
        shown = (verdict.sha256, verdict.kind, *verdict.size, verdict.images, verdict.thumbnail)
        self._found.append((_key(path), self._channels, _READER, *identity, *shown))

    def write(self) -> None:
        """Write down what was added; of more than a million files the oldest are forgotten."""
        if not self._found:
            return
        _with_database(self._write)

    def _read(self, database: sqlite3.Connection, paths: Sequence[str]) -> None:
        for start in range(0, len(paths), _AT_ONCE):
            asked = {_key(path): path for path in paths[start : start + _AT_ONCE]}
            select = _SELECT.format(", ".join("?" * len(asked)))
            for row in database.execute(select, (self._channels, _READER, *asked)):
                if (remembered := _remembered(*row[3:])) is not None:
                    self._known[asked[row[0]]] = remembered

    def _write(self, database: sqlite3.Connection) -> None:
        database.executemany(_INSERT, self._found)
        database.execute("DELETE FROM files WHERE rowid <= (SELECT MAX(rowid) FROM files) - ?", (_MOST,))
        database.commit()


def _with_database(work: Callable[[sqlite3.Connection], None]) -> None:
    """Do something with the file in the user's cache folder; one that cannot be used costs time and nothing else."""
    place = cache_folder() / "checked-files.sqlite"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(place, timeout=_WAIT)) as database:
            database.execute(_TABLE)
            if [row[1] for row in database.execute("PRAGMA table_info(files)")] != _COLUMNS:
                database.execute("DROP TABLE files")  # of another version
                database.execute(_TABLE)
            work(database)
    except (sqlite3.Error, OSError) as error:
        if type(error) is sqlite3.DatabaseError:  # it is damaged, and not only in use
            with contextlib.suppress(OSError):
                place.unlink()
        _logger.info("All files are checked, since what is known of them cannot be used: %s in %s.", error, place)


def _key(path: str) -> bytes:
    """A file's whole path, whose name need not be text."""
    return os.fsencode(path if path.startswith(os.sep) else Path(path).absolute())  # a million files may be asked for


def _remembered(*row: Any) -> tuple[Identity, Verdict] | None:
    """The identity and the verdict in a row; None if it is not of the form that `KnownFiles` writes."""
    size, mtime, ctime, sample, sha256, kind, height, width, images, thumbnail = row
    numbers, texts, contents = (size, mtime, ctime, height, width, images), (sha256, kind), (sample, thumbnail)
    of_form = all(isinstance(one, int) for one in numbers) and all(isinstance(one, str) for one in texts)
    if not of_form or not all(isinstance(one, bytes) for one in contents):
        return None
    if kind not in SUFFIXES or len(thumbnail) != HEIGHT * WIDTH or not re.fullmatch("[0-9a-f]{64}", sha256):
        return None
    if min(height, width) < 1 or images < 0:
        return None
    verdict = Verdict("", sha256, Stamp(size, mtime), kind, (height, width), images, thumbnail)
    return Identity(size, mtime, ctime, sample), verdict
