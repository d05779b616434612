"""Images at an address that fsspec reaches: their copy on this machine, for which only what has changed is fetched."""

import hashlib
import logging
import shutil
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from kertl._checks import parse_json
from kertl._places import cache_folder, file_system
from kertl._terminal import tracked
from kertl.errors import DataError, KertlError
from kertl.run_files import write_json

_logger = logging.getLogger(__name__)

LIST = ".kertl-files.json"
"""The file of a copy that says which version of each file it has."""
_AT_ONCE = 64  # files that are fetched together


class Copy:
    """The copy of the files at an address, in kertl's cache folder.

    Attributes:
        local: The folder of the copy.

    Args:
        address: As fsspec has them.
        argument: Where it was given, for errors.

    Raises:
        MissingPackageError: If fsspec, or the package for addresses of this kind, is not installed.
        ValueError: If there is no such kind of address.
    """

    def __init__(self, address: str, argument: str) -> None:
        self._address, self._argument = address.rstrip("/"), argument
        self._files, self._root = file_system(self._address, argument)
        self.local = cache_folder() / "data" / hashlib.sha256(self._address.encode()).hexdigest()[:16]
        self._coming = self.local.with_name(f"{self.local.name}.coming")

    def folder(self, names: Sequence[str] | None = None) -> Path:
        """The copy of the folder at the address; what is gone there is removed from it.

        Args:
            names: The files that are needed, relative to the folder; all by default.

        Raises:
            DataError: If there is no such folder, it cannot be read, or a file is not whole.
        """
        with self._reached(), self._alone():
            root = PurePosixPath(self._root)
            listed = self._files.find(self._root, detail=True)
            there = {PurePosixPath(path).relative_to(root).as_posix(): one for path, one in listed.items()}
            there.pop(".", None)  # the address is a file
            if not there:
                raise self._nothing("a folder with files in it")
            spelt = {unicodedata.normalize("NFC", name): name for name in there}
            asked = there if names is None else [spelt.get(unicodedata.normalize("NFC", name), name) for name in names]
            self._clear(self._mine() - there.keys())
            self._fetch({name: there[name] for name in asked if name in there})
            return self.local

    def file(self) -> Path:
        """The copy of the one file at the address.

        Raises:
            DataError: If there is no such file, or it cannot be read.
        """
        with self._reached(), self._alone():
            if not self._files.isfile(self._root):
                raise self._nothing("a file")
            found = self._files.info(self._root)
            name = PurePosixPath(self._root).name
            self._root = str(PurePosixPath(self._root).parent)
            self._fetch({name: found})
            return self.local / name

    def _mine(self) -> set[str]:
        files = (path for path in self.local.rglob("*") if path.is_file())
        return {path.relative_to(self.local).as_posix() for path in files} - {LIST}

    def _clear(self, gone: Iterable[str]) -> None:
        """Remove files that are gone there, and the folders that they leave empty, which would count as classes."""
        for name in gone:
            (self.local / name).unlink()
            for folder in (self.local / name).relative_to(self.local).parents[:-1]:
                if any((self.local / folder).iterdir()):
                    break
                (self.local / folder).rmdir()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for another process that fetches the same address."""
        self.local.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.local.with_name(f"{self.local.name}.lock")):
            yield

    def _fetch(self, wanted: Mapping[str, Mapping[str, Any]]) -> None:
        """Download the files of which the copy has not the version that is there."""
        for name in wanted:
            if not _inside(name):
                raise DataError(f"The name of the file {name!r} at {self._address!r} leads out of its folder.")
        self.local.mkdir(parents=True, exist_ok=True)
        known = self._known()
        versions = {name: _version(one) for name, one in wanted.items()}
        new = [name for name in wanted if known.get(name) != [versions[name], *_state(self.local / name)]]
        if new:
            _logger.info("%d of %d files at %s are copied to %s.", len(new), len(wanted), self._address, self.local)
        portions = [new[start : start + _AT_ONCE] for start in range(0, len(new), _AT_ONCE)]
        coming = self._coming
        for names in tracked(portions, f"Downloading {len(new):,} files", len(portions), "portion"):
            shutil.rmtree(coming, ignore_errors=True)
            for name in names:
                (coming / name).parent.mkdir(parents=True, exist_ok=True)
            self._files.get([f"{self._root}/{name}" for name in names], [str(coming / name) for name in names])
            for name in names:
                self._settle(coming / name, self.local / name, wanted[name].get("size"))
                known[name] = [versions[name], *_state(self.local / name)]
            write_json(self.local / LIST, known)
        shutil.rmtree(coming, ignore_errors=True)

    def _settle(self, coming: Path, place: Path, size: int | None) -> None:
        found = coming.stat().st_size
        if size is not None and found != size:
            raise DataError(
                f"{self._address}/{place.relative_to(self.local).as_posix()} must have {size:,} bytes, as is said "
                f"there. Received: {found:,}. Try again."
            )
        place.parent.mkdir(parents=True, exist_ok=True)
        coming.replace(place)

    def _known(self) -> dict[str, list[Any]]:
        try:
            found = parse_json((self.local / LIST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # all is fetched again
        return found if isinstance(found, dict) else {}

    def _nothing(self, accepted: str) -> DataError:
        return DataError(
            f"`{self._argument}` must be {accepted}. Received: {self._address!r}, where there is none.",
            code="no-images",
        )

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Say what could not be read, whatever the package for the address raises.

        Raises:
            DataError: If something was raised.
        """
        try:
            yield
        except KertlError:
            raise
        except Exception as error:
            raise DataError(
                f"{self._address!r} cannot be read: {type(error).__name__}: {error}. What was fetched is in "
                f"{str(self.local)!r}; the same call goes on from there.",
                code="no-images",
            ) from error


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return ".." not in path.parts and not path.is_absolute() and "\\" not in name


def _version(found: Mapping[str, Any]) -> str:
    """What changes with a file: its size, time and tags, by whatever names they have there."""
    return hashlib.sha256(repr(sorted(found.items(), key=repr)).encode()).hexdigest()[:16]


def _state(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
