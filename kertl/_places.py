"""Where files are: those that somebody named, in any spelling, and those that kertl can fetch or make again."""

import glob
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import platformdirs

from kertl.errors import ArgumentError, DataError, MissingPackageError

_SHOWN = 3  # files of an error
_COPIES: dict[Path, str] = {}  # folders of this machine, and the addresses that they are copies of
_SEARCHED = 100  # folders in which a file is looked for that is not where it should be


def cache_folder() -> Path:
    """Where files are cached that can be fetched or made again: `KERTL_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("KERTL_CACHE") or platformdirs.user_cache_dir("kertl", appauthor=False))


def is_address(path: Any) -> bool:
    """Whether a path is an address such as gs://bucket/folder, and not one on this machine."""
    return isinstance(path, str) and "://" in path


def note_copy(folder: Path, address: str) -> None:
    """Remember that a folder is the copy of what is at an address."""
    _COPIES[folder] = address


def as_given(path: str | Path) -> str:
    """What a message calls a path: in the copy of what is at an address, as the user knows it, the address."""
    path = Path(path)
    for folder, address in _COPIES.items():
        if path.is_relative_to(folder):
            return "/".join((address, *path.relative_to(folder).parts))
    return str(path)


def file_system(address: str, argument: str) -> tuple[Any, str]:
    """What reaches an address, and what the address is called there.

    Args:
        address: As fsspec has them.
        argument: Where it was given, for errors.

    Raises:
        MissingPackageError: If fsspec, or the package for addresses of this kind, is not installed.
        ArgumentError: If there is no such kind of address.
    """
    try:
        import fsspec
    except ImportError as error:
        raise MissingPackageError(
            f"fsspec must be installed for {argument}={address!r}. Run `pip install 'kertl[remote]'`."
        ) from error
    try:
        files, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise MissingPackageError(
            f"The package for addresses such as {address!r} must be installed: {error}"
        ) from error
    except ValueError as error:
        raise ArgumentError(
            f"`{argument}` must be a path, or an address that fsspec knows. Received: {argument}={address!r}: {error}."
        ) from error
    except Exception as error:  # whatever the package for the address raises
        raise ArgumentError(
            f"`{argument}` must be an address that can be reached. Received: {argument}={address!r}: "
            f"{type(error).__name__}: {error}."
        ) from error
    return files, root.rstrip("/")


class Places:
    """The files that are named relative to a folder."""

    def __init__(self, root: str | Path = "") -> None:
        self.root = Path(root)
        self._folders: dict[str, str] = {}

    def path(self, file: str | Path) -> str:
        """Where a file is. One that is only there with accents that are composed in another way is taken for it."""
        return str(self.root / self._found(str(file)))

    def key(self, file: str) -> str:
        """The same for every spelling of one file: `img/x`, `./img/x`, `img//x`, `img/../img/x` and its whole path."""
        found = self._found(file).replace(os.sep, "/")
        folder = found[: found.rfind("/") + 1]
        if folder not in self._folders:
            self._folders[folder] = self._plain(folder)
        key = self._folders[folder] + found[len(folder) :]
        return file if key == file else key  # which takes no memory of its own

    def _plain(self, folder: str) -> str:
        """What comes before the names of files in a folder: its path relative to the root, without detours."""
        root, whole = self.root.absolute(), (self.root / folder).absolute()
        plain = Path(os.path.normpath(whole))
        if os.path.realpath(plain) != os.path.realpath(whole):
            plain = whole  # `..` behind a link leads elsewhere
        if plain.is_relative_to(root):
            plain = plain.relative_to(root)
        return "" if plain == Path() else f"{plain.as_posix().rstrip('/')}/"

    def _found(self, file: str) -> str:
        """The file as it is written on the disk, where only the form of accents differs."""
        if file.isascii() or os.path.lexists(self.root / file):
            return file
        here, parts = self.root, []
        for part in Path(file).parts:
            forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
            there = next((form for form in forms if os.path.lexists(here / form)), None)
            if there is None:
                return file
            parts.append(there)
            here /= there
        return str(Path(*parts))


def none_usable(
    where: str, places: Places, refused: Sequence[tuple[str, str]], count: int, *, by_root: bool = False
) -> DataError:
    """The error if no file can be used: the first files, the reasons, where they were looked for, what to do.

    Args:
        where: What names the files, such as "in 'labels.csv'".
        places: Where they were looked for.
        refused: The first files as they were named, and the reasons.
        count: How many there are.
        by_root: Whether the user can say which folder they are relative to.
    """
    shown = []
    for file, reason in refused[:_SHOWN]:
        path = Path(places.path(file)).absolute()
        elsewhere = str(path) != file and not os.path.lexists(path)
        shown.append(f"{file!r} {reason}" + (f", looked for at {str(path)!r}" if elsewhere else ""))
    more = f"; and {count - len(shown)} more" if count > len(shown) else ""
    none = f"None of the {count} files {where} can" if count > 1 else f"The one file {where} cannot"
    advice = _advice(places.root, refused[0][0], by_root=by_root)
    return DataError(f"{none} be used. Received: {'; '.join(shown)}{more}. {advice}".rstrip())


def _advice(root: Path, file: str, *, by_root: bool) -> str:
    """What may be wrong with the path of a file that is not there."""
    if "\0" in file or os.path.lexists(root / file):
        return ""
    found = chain(_spelled(root, file), _elsewhere(root, file, by_root=by_root))
    return next(found, "Pass `root`, the folder that the paths are relative to." if by_root else "")


def _spelled(root: Path, file: str) -> Iterator[str]:
    """What is wrong with the spelling."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", file):
        yield "URLs are not read. Download the files and give their paths."
    if re.match(r"[A-Za-z]:[\\/]", file):
        yield "Paths with a drive are those of Windows. Give paths on this machine, with slashes."
    if "\\" in file:
        slashed = file.replace("\\", "/")
        yield f"Write paths with slashes: {slashed!r}{', which exists' if os.path.lexists(root / slashed) else ''}."
    if file.startswith("~"):
        yield "`~` is not replaced by the home folder. Write whole paths."
    path = root / file
    longer = sorted(path.parent.glob(f"{glob.escape(path.name)}.*")) if path.name else []
    if longer:
        yield f"Write names with their suffix: {file + longer[0].name[len(path.name) :]!r} exists."


def _elsewhere(root: Path, file: str, *, by_root: bool) -> Iterator[str]:
    """Where else there is such a file."""
    for folder in _around(root) if by_root and not Path(file).is_absolute() else ():
        if os.path.lexists(folder / file):
            yield f"Pass root={str(folder)!r}, where {file!r} exists."
    parts = Path(file).parts
    for first in range(1, len(parts)):
        shorter = Path(*parts[first:])
        if os.path.lexists(root / shorter):
            yield f"Write {shorter.as_posix()!r}, which exists in {str(root.absolute())!r}."


def _around(root: Path) -> Iterator[Path]:
    """Folders that paths may be relative to instead."""
    absolute = root.absolute()
    yield from list(absolute.parents)[:2]
    if absolute.is_dir():
        yield from sorted(path for path in absolute.iterdir() if path.is_dir())[:_SEARCHED]
