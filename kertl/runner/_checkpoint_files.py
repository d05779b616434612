"""The files of checkpoints: numbered, each with its checksum in its name, the last two kept."""

import logging
import re
from pathlib import Path
from typing import Any

from kertl.errors import RunError
from kertl.run_files import read_arrays, remove_partial, replace_file, sha256_of
from kertl.runner._values import save_values, values_in

_logger = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint-(\d{6,})-([0-9a-f]{16})\.npz")
_KEPT = 2


class CheckpointFiles:
    """Writes and reads values as checkpoints in a folder.

    A value is made of numbers, strings, None, numpy arrays, lists, and dictionaries with strings as keys. A file is
    named `checkpoint-<number>-<first 16 digits of its SHA-256>.npz`; it appears under that name completely or not at
    all.

    Args:
        folder: The folder, made at the first `write`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._kept: list[Path] = []

    @property
    def newest(self) -> Path | None:
        """The last file that was written, or read and found intact."""
        return self._kept[-1] if self._kept else None

    def write(self, value: Any) -> Path:
        """Write a value, bring it to disk, and remove all but the last two files.

        Raises:
            RunError: If it cannot be written; the files before are untouched and the message names the last of them.
        """
        number = 1 + max((_number(path) for path in self.paths()), default=0)

        def save(beside: Path) -> Path:
            save_values(beside, value)
            self._kept.append(self.folder / f"checkpoint-{number:06d}-{_digest(beside)}.npz")
            return self._kept[-1]

        kept = self._kept[-_KEPT:]
        try:
            replace_file(self.folder / f"checkpoint-{number:06d}.npz", save)
        except RunError as error:
            self._kept = kept
            raise RunError(f"{error} {self.hint()}") from error
        self._kept = self._kept[-_KEPT:]
        for path in self.paths():
            if path not in self._kept:
                path.unlink(missing_ok=True)
        return self._kept[-1]

    def read(self) -> Any:
        """The value of the newest intact file; None if there is no file.

        Files that are damaged are named in a warning.

        Raises:
            RunError: If there are files and none of them is intact.
        """
        if self.folder.is_dir():
            remove_partial(self.folder)
        files = sorted(self.paths(), key=_number, reverse=True)
        damaged = []
        for path in files:
            try:
                value = _read(path)
            except (OSError, ValueError, KeyError, TypeError) as error:
                damaged.append(path.name)
                _logger.warning("%s is damaged and skipped: %s", path, error)
                continue
            self._kept = [path]
            return value
        if damaged:
            raise RunError(
                f"{str(self.folder)!r} must have an intact checkpoint. Received: {', '.join(damaged)}, all of "
                f"them damaged. Restore a copy, or remove {str(self.folder.parent)!r} to begin again.",
                code="damaged",
            )
        return None

    def hint(self) -> str:
        """What remains, in a sentence."""
        if self.newest is None:
            return "There is no checkpoint yet."
        return f"The last good checkpoint is {self.newest.name!r}; the same call resumes from there."

    def paths(self) -> list[Path]:
        return [path for path in self.folder.glob("checkpoint-*.npz") if _NAME.fullmatch(path.name)]


def _read(path: Path) -> Any:
    parts = _NAME.fullmatch(path.name)
    found = _digest(path)
    if parts is None or found != parts[2]:
        raise ValueError(f"its SHA-256 begins with {found}, which is not the one in its name")
    return values_in(read_arrays(path))


def _number(path: Path) -> int:
    return int(path.name.split("-")[1])


def _digest(path: Path) -> str:
    return sha256_of(path)[:16]
