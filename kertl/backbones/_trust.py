"""What is checked of somebody's file before it is read, and of the weights in it."""

import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from kertl.errors import WeightsError

_LARGE = 64 * 2**20  # bytes from which on the ratio counts: weights of a single number compress well
_RATIO = 100  # how many times as large as in the file something may become
_LARGEST_JSON = 16 * 2**20


def refuse_bomb(path: Path) -> None:
    """Raise if a model or weights file becomes huge when it is read: only sizes that it declares are looked at.

    Raises:
        WeightsError: If a member or an array is more than 100 times as large as what is stored of it, and over 64 MiB,
            or a JSON member is over 16 MiB.
    """
    try:
        if not zipfile.is_zipfile(path):
            with h5py.File(path) as file:
                _check_arrays(path, file)
            return
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                _check(path, member.filename, member.file_size, member.compress_size)
                if member.filename.endswith(".json") and member.file_size > _LARGEST_JSON:
                    raise _bomb(path, member.filename, member.file_size, "a description of a model needs less")
            for name in archive.namelist():
                if name.endswith(".h5"):
                    with archive.open(name) as content, h5py.File(content) as file:
                        _check_arrays(path, file)
    except (OSError, zipfile.BadZipFile, RuntimeError):
        return  # whoever reads the file says what is wrong with it


def refuse_nan(model: keras.Model) -> None:
    """Raise if a weight is NaN, which makes every prediction NaN, or the same where a ReLU turns it into 0.

    Raises:
        WeightsError: If so; the message names the first such weight.
    """
    broken = [weight.path for weight in model.weights if _has_nan(weight)]
    if broken:
        raise WeightsError(
            f"Every weight of {model.name!r} must be a number. Received: NaN in {broken[0]!r}"
            + (f" and {len(broken) - 1} other variables" if broken[1:] else "")
            + ". Load the weights again from where they come from."
        )


def _has_nan(weight: Any) -> bool:
    values = keras.ops.convert_to_numpy(weight)
    return values.dtype.kind not in "iub" and bool(np.isnan(values).any())


def _check_arrays(path: Path, file: h5py.File) -> None:
    def visit(name: str, found: Any) -> None:
        if isinstance(found, h5py.Dataset):
            _check(path, name, int(found.size or 0) * found.dtype.itemsize, found.id.get_storage_size())

    file.visititems(visit)


def _check(path: Path, name: str, size: int, stored: int) -> None:
    if size > _LARGE and size > _RATIO * stored:
        raise _bomb(path, name, size, f"of which {stored:,} are stored")


def _bomb(path: Path, name: str, size: int, why: str) -> WeightsError:
    return WeightsError(f"{str(path)!r} is not read: {name!r} in it would take {size:,} bytes, {why}.")
