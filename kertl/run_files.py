"""Writing files so that a reader finds the old file or the new one, never half of one, whatever happens."""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kertl.errors import RunError

__all__ = ["remove_partial", "replace_file", "save_figure", "write_json", "write_text"]

_PARTIAL = ".partial-"


def replace_file(path: Path, write: Callable[[Path], Path | None]) -> None:
    """Let `write` write a file next to `path`, sync it to disk, and replace `path` with it.

    The temporary file has the same suffix, since some writers choose the format by it. If `write` returns a path in the
    same folder, the file goes there instead, so its name may depend on its content.

    Raises:
        RunError: If the file cannot be written; what was there before is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{_PARTIAL}{secrets.token_hex(8)}-{path.name}")
        try:
            # Created as any new file, so the system gives it the permissions that the user's umask allows.
            beside.touch(exist_ok=False)
            path = write(beside) or path
            _to_disk(beside)
            beside.replace(path)
            _to_disk(path.parent)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"{str(path)!r} cannot be written: {error.strerror or error}. What was there before is untouched."
        ) from error


def save_figure(figure: Any, path: str | Path | None, *, dpi: int = 150) -> Any:
    """Write a matplotlib figure to a file, whose suffix decides the format, if there is a path; returns the figure.

    Raises:
        RunError: If the file cannot be written.
    """
    if path is not None:
        replace_file(Path(path), lambda beside: figure.savefig(beside, dpi=dpi))
    return figure


def remove_partial(folder: Path, *, older_seconds: float = 0) -> None:
    """Remove what a process that was killed while writing left in a folder.

    Nobody else may be writing there, unless only files of at least that age are removed.
    """
    for path in folder.glob(f"{_PARTIAL}*"):
        with contextlib.suppress(FileNotFoundError):
            if not older_seconds or time.time() - path.stat().st_mtime > older_seconds:
                path.unlink()


def write_text(path: Path, text: str) -> None:
    """Replace `path` with a text file."""

    def write(beside: Path) -> None:
        # Names of files may hold bytes that are not text; they are written unchanged.
        beside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")

    replace_file(path, write)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` with a JSON file."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a loss of power."""
    if path.is_dir() and os.name != "posix":
        return  # elsewhere a folder cannot be opened
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
