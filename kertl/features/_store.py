"""Rows of features in files: shards that are complete or absent, each of which can be checked by itself.

A shard is a `.npy` file of rows and, written after it, a `.json` file that says which images they belong to. Both are
named by their content, so two processes that write the same rows write the same files, and no index is shared.
"""

import contextlib
import dataclasses
import functools
import hashlib
import io
import itertools
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np

from kertl.errors import DataError
from kertl.features._layout import DTYPES, Layout
from kertl.run_files import read_json, remove_partial, replace_file, write_json

_logger = logging.getLogger(__name__)

_BLOCK = 1 << 22
"""Bytes that are read at a time to check a file."""
_NO_IMAGE = bytes(32)
_STALE_SECONDS = 24 * 3600
"""Age at which files that a killed process left half-written are removed; no running process takes that long to write
one."""


@dataclasses.dataclass(frozen=True)
class _Shard:
    """A file of rows, and what its manifest says about it."""

    manifest: Path
    sha256: str
    images: np.ndarray
    """SHA-256 of the content of the image of each row, of type `S32`."""

    @property
    def path(self) -> Path:
        return self.manifest.with_suffix(".npy")


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of some images, in the files where they were found; none of them are held in memory."""

    layout: Layout
    paths: tuple[Path, ...]
    starts: tuple[int, ...]
    """Where the first row of each file begins, in bytes."""
    files: np.ndarray
    """For each image, which of the files."""
    places: np.ndarray
    """For each image, which row of its file."""

    def take(self, images: np.ndarray) -> np.ndarray:
        """The rows of the images given by number, in the order given, of shape `(len(images), width)`.

        They are read, not mapped: the pages of a mapped file count as memory of the process.
        """
        size = self.layout.row_bytes
        rows = np.empty((len(images), size), np.uint8)
        files, places = self.files[images], self.places[images]
        order = np.lexsort((places, files))
        in_order = bool((order[:-1] < order[1:]).all())
        found = rows if in_order else np.empty_like(rows)
        files, places = files[order], places[order]
        # Consecutive rows are read in one go.
        breaks = np.flatnonzero((np.diff(files) != 0) | (np.diff(places) != 1)) + 1
        edges = [0, *breaks.tolist(), len(images)] if len(images) else [0]
        with contextlib.ExitStack() as stack:
            opened: tuple[int, Any] = (-1, None)
            for start, stop in itertools.pairwise(edges):
                number = int(files[start])
                if number != opened[0]:
                    stack.close()
                    opened = number, stack.enter_context(self._open(number))
                opened[1].seek(self.starts[number] + int(places[start]) * size)
                _read_into(opened[1], found[start:stop].data.cast("B"), self.paths[number])
        if not in_order:
            rows[order] = found
        return rows.view(DTYPES[self.layout.dtype])

    def _open(self, number: int) -> Any:
        try:
            return self.paths[number].open("rb", buffering=0)
        except OSError as error:
            raise _gone(self.paths[number]) from error


class Store:
    """The shards of one extraction in a folder.

    Args:
        folder: Where they are.
        key: What the rows depend on besides the images; shards with another key are ignored.
        layout: What a row holds.
    """

    def __init__(self, folder: Path, key: str, layout: Layout) -> None:
        self.folder, self.key, self.layout = folder, key, layout
        self._sound: set[str] = set()
        self._shards: dict[str, _Shard] = {}
        remove_partial(folder, older_seconds=_STALE_SECONDS)
        for manifest in sorted(folder.glob("*.json")):
            shard = self._read(manifest)
            if shard is not None:
                self._shards[manifest.stem] = shard

    def find(self, digests: np.ndarray) -> np.ndarray:
        """Whether there is a row of each image; all shards with these rows have then been checked."""
        return self._locate(digests)[0] >= 0

    def rows(self, digests: np.ndarray) -> Rows:
        """The rows of images, all of which have been found."""
        files, places = self._locate(digests)
        used, files = np.unique(files, return_inverse=True)
        shards = [list(self._shards.values())[number] for number in used]
        if (places < 0).any():
            raise _gone(self.folder)
        starts = tuple(len(_header(len(shard.images), self.layout)) for shard in shards)
        paths = tuple(shard.path for shard in shards)
        return Rows(self.layout, paths, starts, files.astype(np.int32), places.astype(np.int32))

    def write(self, digests: np.ndarray, rows: np.ndarray) -> None:
        """Write the rows of some images as a new shard, completely or not at all."""
        header = _header(len(rows), self.layout)
        content = np.ascontiguousarray(rows).view(np.uint8).data
        digest = hashlib.sha256(header)
        digest.update(content)
        stem = _stem(digest.hexdigest(), digests)

        def write(beside: Path) -> None:
            with beside.open("wb") as file:
                file.write(header)
                file.write(content)

        replace_file(self.folder / f"{stem}.npy", write)
        shard = _Shard(self.folder / f"{stem}.json", digest.hexdigest(), digests)
        write_json(shard.manifest, {**self._described(), "sha256": shard.sha256, "images": _hex(digests)})
        self._shards[stem] = shard
        self._sound.add(stem)
        self.__dict__.pop("_index", None)

    def _described(self) -> dict[str, Any]:
        """What every manifest of the store says."""
        shapes = [list(shape) for shape in self.layout.shapes]
        return {"format": 1, "key": self.key, "dtype": self.layout.dtype, "shapes": shapes}

    def _read(self, manifest: Path) -> _Shard | None:
        """The shard of a manifest; a manifest that is not as it was written is removed."""
        try:
            value = read_json(manifest)
            images = np.array([bytes.fromhex(digest) for digest in value["images"]], "S32")
            described = {name: value[name] for name in self._described()}
            if described != self._described() or _stem(value["sha256"], images) != manifest.stem:
                raise ValueError
        except FileNotFoundError:  # another process found it damaged meanwhile
            return None
        except (ValueError, KeyError, TypeError):
            self._remove(manifest, "is damaged or belongs to something else")
            return None
        return _Shard(manifest, value["sha256"], images)

    def _locate(self, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The number of the shard and of the row of each image, -1 where there is none; only sound shards count."""
        while True:
            images, files, places = self._index
            at = np.searchsorted(images[:-1], digests)
            found = images[at] == digests
            files, places = np.where(found, files[at], -1), np.where(found, places[at], -1)
            shards = list(self._shards)
            # Not `all` of a generator: every one of them is to be checked.
            if all([self._is_sound(shards[number]) for number in np.unique(files[found])]):  # noqa: C419
                return files, places

    @functools.cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All images of all shards, sorted by digest, with the numbers of their shards and rows.

        A digest that no image has comes last, so that a search always ends at an entry.
        """
        shards = list(self._shards.values())
        images = np.concatenate([*(shard.images for shard in shards), np.array([_NO_IMAGE], "S32")])
        files = np.repeat(np.arange(len(shards) + 1), [*(len(shard.images) for shard in shards), 1])
        places = np.concatenate([*(np.arange(len(shard.images)) for shard in shards), np.zeros(1, int)])
        order = np.concatenate([np.argsort(images[:-1], kind="stable"), [len(images) - 1]])
        return images[order], files[order], places[order]

    def _is_sound(self, stem: str) -> bool:
        """Whether the rows of a shard are as they were written; if not, the shard is removed."""
        if stem in self._sound:
            return True
        shard = self._shards[stem]
        digest = hashlib.sha256()
        size = len(_header(len(shard.images), self.layout)) + len(shard.images) * self.layout.row_bytes
        with contextlib.suppress(FileNotFoundError), shard.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == size:
                for block in iter(functools.partial(file.read, _BLOCK), b""):
                    digest.update(block)
        if digest.hexdigest() == shard.sha256:
            self._sound.add(stem)
            return True
        self._remove(shard.manifest, "is damaged")
        del self._shards[stem]
        self.__dict__.pop("_index", None)
        return False

    def _remove(self, manifest: Path, why: str) -> None:
        _logger.warning("The cached features %r: the shard %s; its images are extracted again.", str(manifest), why)
        manifest.unlink(missing_ok=True)
        manifest.with_suffix(".npy").unlink(missing_ok=True)


def _header(count: int, layout: Layout) -> bytes:
    """The header of a `.npy` file of so many rows; numpy does not know bfloat16, which is written as bits."""
    dtype = np.dtype(np.uint16) if layout.dtype == "bfloat16" else DTYPES[layout.dtype]
    header = io.BytesIO()
    described = {"descr": dtype.newbyteorder("<").str, "fortran_order": False, "shape": (count, sum(layout.widths))}
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


def _stem(sha256: str, digests: np.ndarray) -> str:
    """The name of a shard, derived from its rows and their images."""
    return hashlib.sha256(bytes.fromhex(sha256) + digests.tobytes()).hexdigest()[:32]


def _hex(digests: np.ndarray) -> list[str]:
    # numpy strips zeros from the end of what it returns
    return [digest.ljust(32, b"\0").hex() for digest in digests.tolist()]


def _read_into(file: Any, buffer: memoryview, path: Path) -> None:
    while buffer:
        count = file.readinto(buffer)
        if not count:
            raise _gone(path)
        buffer = buffer[count:]


def _gone(path: Path) -> DataError:
    return DataError(
        f"The cached features {str(path)!r} have been removed or shortened while they were in use. Extract them again.",
        code="damaged",
    )
