"""What is checked of somebody's file before it is read."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from kertl.errors import WeightsError
from kertl.inspection._probe import TOO_LARGE

NOTE = "kertl.json"
"""The member that kertl adds to a `.keras` file."""
_LARGE = 64 * 2**20  # bytes from which on the ratio counts: weights of a single number compress well
_RATIO = 100  # how many times as large as in the file something may become
_PATIENCE_SECONDS = 60.0
_LARGEST_JSON = 16 * 2**20
# What h5py, zipfile and Keras raise on damaged files.
DAMAGED = (OSError, zipfile.BadZipFile, RuntimeError, ValueError, TypeError, KeyError, EOFError, RecursionError)


def refuse_bomb(path: Path) -> None:
    """Raise if a model or weights file becomes huge when it is read: only sizes that it declares are looked at.

    Raises:
        WeightsError: If a member or an array is more than 100 times as large as what is stored of it, and over 64 MiB,
            or a JSON member is over 16 MiB.
    """
    try:
        declared = list(_declared(path))
    except DAMAGED:
        return  # whoever reads the file says what is wrong with it
    for name, size, stored in declared:
        if size > _LARGE and size > _RATIO * stored:
            raise _bomb(path, name, size, f"of which {stored:,} are stored")
        if name.endswith(".json") and size > _LARGEST_JSON:
            raise _bomb(path, name, size, "and a description of a model needs less")


def refuse_endless(path: Path) -> None:
    """Raise if an HDF5 file cannot be gone through in a minute, which takes a second of its own.

    In a damaged one, or one that somebody made so, libhdf5 may go round for ever and take more and more memory; no
    exception ends that, so a process tries it that can be stopped. What is inside a `.keras` archive is not tried: its
    checksums find damage.

    Raises:
        WeightsError: If so.
    """
    if zipfile.is_zipfile(path) or not sys.executable:
        return
    command = [sys.executable, "-I", str(Path(__file__).with_name("_probe.py")), str(path)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each thread reserves memory
    try:
        status = subprocess.run(  # noqa: S603
            command, env=environment, capture_output=True, check=False, timeout=_PATIENCE_SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        status = TOO_LARGE
    if status == TOO_LARGE or status < 0:
        raise WeightsError(
            f"{str(path)!r} is not read: going through its groups does not end, or takes too much memory. It is "
            "damaged; fetch it again.",
            code="untrusted",
        )


def _declared(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and stored size, in bytes, of each member of an archive and each array in it or in an HDF5 file."""
    if not zipfile.is_zipfile(path):
        with h5py.File(path) as file:
            yield from _arrays(file)
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            yield member.filename, member.file_size, member.compress_size
        for name in archive.namelist():
            if name.endswith(".h5"):
                with archive.open(name) as content, h5py.File(content) as file:
                    yield from _arrays(file)


def _arrays(file: h5py.File) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []

    def visit(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            found.append((os.fsdecode(name), int(one.size or 0) * one.dtype.itemsize, one.id.get_storage_size()))

    file.visititems(visit)
    return found


def _bomb(path: Path, name: str, size: int, why: str) -> WeightsError:
    return WeightsError(
        f"{str(path)!r} is not read: {name!r} in it would take {size:,} bytes, {why}.", code="untrusted"
    )
