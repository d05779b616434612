"""Writing files so that a reader finds the old file or the new one, never half of one."""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Have `write` write a file beside `path`, bring it to disk, and put it in the place of `path`.

    The file beside has the same suffix, since some writers choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix="".join(path.suffixes), dir=path.parent)
    os.close(handle)
    beside = Path(name)
    try:
        write(beside)
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Put a text file in the place of `path`."""

    def write(beside: Path) -> None:
        # Names of files may hold bytes that are no text; they are written as they are.
        beside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")

    replace_file(path, write)


def write_json(path: Path, value: Any) -> None:
    """Put a JSON file in the place of `path`."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
