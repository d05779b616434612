"""The files of a run.

They are written so that a reader finds the old file or the new one, never half of one, whatever happens; and read so
that a damaged one, or one that somebody made to become huge when it is read, is a `ValueError` that says so.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import secrets
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kertl import _checks
from kertl._checks import parse_json
from kertl._places import as_given
from kertl.errors import RunError, WeightsError

_logger = logging.getLogger(__name__)

MODEL_FILE = "model.keras"
"""The file of a run directory that holds its model."""
SUMS = "SHA256SUMS"
"""A run directory's file with the checksums of what a finished run gives, as `sha256sum --check` reads them."""
_PARTIAL = ".partial-"
_LARGEST_TEXT = 16 * 2**20
"""Bytes of the longest text that is read, unless more is to be expected; as JSON it may take 20 times as much."""


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
            f"{str(path)!r} cannot be written: {error.strerror or error}. What was there before is untouched.",
            code="disk",
        ) from error


def save_figure(figure: Any, path: str | Path | None, *, dpi: int = 150) -> Any:
    """Write a matplotlib figure to a file, whose suffix decides the format, if there is a path; returns the figure.

    Raises:
        RunError: If the file cannot be written.
    """
    if path is not None:
        replace_file(_checks.path("path", path), lambda beside: figure.savefig(beside, dpi=dpi))
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


def read_text(path: Path, most: int = _LARGEST_TEXT) -> str:
    """The text in a file that `write_text` wrote, of at most so many bytes.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it has more bytes, or is not text.
    """
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"{size:,} bytes, more than {most:,}")
    return path.read_text(encoding="utf-8")


def read_json(path: Path, most: int = _LARGEST_TEXT) -> Any:
    """The value in a file that `write_json` wrote, of at most so many bytes.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it has more bytes, is not JSON, or is nested more than 100 deep.
    """
    return parse_json(read_text(path, most))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays in a file that `numpy.savez` wrote, which are as large as they are in the file.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is not such a file, an array is compressed or declares another size than it has, or holds
            objects, which may be code.
    """
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
                if not stored or sum(member.file_size for member in members) > path.stat().st_size:
                    raise ValueError("compressed members")
                return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
            raise ValueError(f"not a sound .npz file: {error}") from error


def model_of_run(folder: Path) -> Path:
    """The model file in a run directory; that the run has not finished is logged where it has one already.

    Raises:
        WeightsError: If it has none; the message says what to do.
    """
    path, is_run = folder / MODEL_FILE, (folder / "recipe.json").exists()
    again = "The same `kertl train` command, or the same call of `kertl.fine_tune`, resumes it."
    if not path.exists() and is_run and (folder / SUMS).exists():
        raise WeightsError(
            f"A finished run must have its {MODEL_FILE}. Received: {as_given(folder)!r}, which has a {SUMS} and no "
            f"{MODEL_FILE}. Restore it. {again.replace('resumes it', 'makes it again if checkpoints/ is still there')}",
            code="run-unfinished",
        )
    if not path.exists() and is_run:
        raise WeightsError(
            f"The run must have finished. Received: {as_given(folder)!r}, without a {MODEL_FILE} yet. {again}",
            code="run-unfinished",
        )
    if not path.exists():
        raise WeightsError(
            f"A folder must be a run directory, as `kertl train --out` writes it. Received: {as_given(folder)!r}, "
            f"without a {MODEL_FILE}. Pass such a directory, or a .keras or .h5 file.",
            code="run-unfinished",
        )
    if is_run and not (folder / SUMS).exists():
        _logger.warning(
            "The run in %r has not finished: its model has the best weights so far. %s", as_given(folder), again
        )
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_arrays(arrays: Iterable[np.ndarray]) -> str:
    """The SHA-256 of the numbers of arrays, such as the weights of a model, one after the other."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{member.filename!r} is of the version {version} of numpy's format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        size, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if size != held and not dtype.hasobject:
            raise ValueError(f"{member.filename!r} declares {size:,} bytes and has {held:,}")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a loss of power."""
    if path.is_dir() and os.name != "posix":
        return  # elsewhere a folder cannot be opened
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
