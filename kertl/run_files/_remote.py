"""A run directory that is elsewhere, at any address that fsspec reaches, and its copy on this machine.

The run reads and writes the copy, which is uploaded after each checkpoint. A list beside the files has the checksum of
each; while files change, of what was there and of what is coming, so that whatever an upload was doing when it was
killed, every file is one of the two, and the checkpoint before is there until the next one is.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from kertl import _checks
from kertl._places import cache_folder, file_system, is_address, note_copy
from kertl.errors import RunError
from kertl.run_files._files import SUMS, replace_file, sha256_of
from kertl.run_files._lock import in_use

LIST = ".kertl-files.json"
"""The file at the address that lists the others."""
_COMING = ".uploading-"
_STAYS = ("features", "export")
"""Folders of the copy alone: what they hold is made again, or was made here."""
_REPORT = ("report.html",)
"""Files that may have been made here, and are not removed if they are not at the address."""
_LATE = ("tensorboard",)
"""Folders that are only uploaded when a run ends or stops."""
_CHECKPOINTS = "checkpoints"
_FETCHING = ".fetching"  # the lock of whoever fetches
_TRIES = 3


def local_run(path: str | os.PathLike[str], argument: str, *, afresh: bool = False) -> Path:
    """Where a run is on this machine; one at an address is fetched first, to be read, and nothing is changed there.

    Exports that were made in the copy stay there. While a process of this machine writes to it, it is taken as it is.

    Args:
        path: A path on this machine, which is returned as it is; or an address such as gs://bucket/run.
        argument: Where it was given, for errors.
        afresh: Whether files are downloaded that the copy has already.

    Raises:
        RunError: If there is no run of kertl at the address, it cannot be read, or a file there is damaged.
        MissingPackageError: If fsspec, or the package for addresses of this kind, is not installed.
        ValueError: If it is no path, or there is no such kind of address.
    """
    if not is_address(path):
        return _checks.path(argument, path)
    copy = RemoteCopy(str(path), argument)
    copy.check_there()
    copy.fetch(writing=False, afresh=afresh)
    return copy.local


class RemoteCopy:
    """The copy on this machine of a run directory that is elsewhere.

    Attributes:
        local: The folder of the copy, in kertl's cache folder.

    Args:
        address: As fsspec has them.
        argument: Where it was given, for errors.

    Raises:
        MissingPackageError: If fsspec, or the package for addresses of this kind, is not installed.
        ValueError: If there is no such kind of address.
    """

    def __init__(self, address: str, argument: str = "run_dir") -> None:
        self.address = address.rstrip("/")
        digest = hashlib.sha256(self.address.encode()).hexdigest()[:16]
        self.local = cache_folder() / "runs" / digest
        self._files, self._root = file_system(self.address, argument)
        note_copy(self.local, self.address)
        self._known: dict[str, list[str | None]] = {}
        """What is there: the checksum of each file; where an upload was broken off, those that it may have."""
        self._seen: dict[str, tuple[int, int, str]] = {}

    def fetch(self, *, writing: bool = True, afresh: bool = False) -> None:
        """Make the copy what is at the address; only files that differ are downloaded, and each is checked.

        Args:
            writing: Whether this process writes the run, and removes what a killed upload left at the address. If not,
                nothing is done while another process of this machine writes it, whose copy is ahead of the address.
            afresh: Whether files are downloaded that the copy has already.

        Raises:
            RunError: If the address cannot be read, has other files than a run of kertl, or one that is damaged.
        """
        with self._reached("read"):
            self.local.mkdir(parents=True, exist_ok=True)
            with FileLock(self.local / _FETCHING):
                if writing or not in_use(self.local):
                    self._fetch_all(writing, afresh)

    def _fetch_all(self, writing: bool, afresh: bool) -> None:
        """Fetch what is listed, and once more if the list has changed meanwhile, as that of a running training does."""
        for left in reversed(range(_TRIES)):
            there = self._there()
            self._known = self._read_list(there)
            try:
                for name in there - self._known.keys() if writing else ():
                    if PurePosixPath(name).name.startswith(_COMING):
                        self._files.rm_file(f"{self._root}/{name}")
                for name in self._mine(late=True) - self._known.keys() - {*_REPORT}:
                    (self.local / name).unlink()
                for name, accepted in self._known.items():
                    self._fetch(name, accepted, exists=name in there, afresh=afresh)
                return
            except RunError:
                if not left or self._read_list(self._there()) == self._known:
                    raise

    def check_there(self) -> None:
        """Raise if there is no run at the address.

        Raises:
            RunError: If there is none, or the address cannot be read.
        """
        with self._reached("read"):
            if self._files.exists(f"{self._root}/{LIST}"):
                return
        raise RunError(
            f"An address must be that of a run, as `kertl train --out` and `fine_tune(run_dir=...)` write it. "
            f"Received: {self.address!r}, where there is no {LIST}.",
            code="run-directory",
        )

    def push(self, *, everything: bool) -> None:
        """Upload what has changed since the last time.

        Args:
            everything: Whether what is only uploaded in the end is too.

        Raises:
            RunError: If the address cannot be written to.
        """
        with self._reached("written"):
            now = {name: self._digest(name) for name in self._mine(late=everything)}
            changed = sorted((name for name in now if self._known.get(name) != [now[name]]), key=_order)
            known = {name for name in self._known if everything or not _within(name, _LATE)}
            gone = sorted(known - now.keys())
            if not changed and not gone:
                return
            coming = {name: [*self._known.get(name, [None]), now[name]] for name in changed}
            going = {name: [*self._known[name], None] for name in gone}
            self._write_list({**self._known, **coming, **going})
            for name in changed:
                self._upload(name)
            for name in gone:
                if self._files.exists(f"{self._root}/{name}"):
                    self._files.rm_file(f"{self._root}/{name}")
            there = {name: accepted for name, accepted in self._known.items() if name not in gone}
            self._write_list({**there, **{name: [now[name]] for name in changed}})

    def _mine(self, *, late: bool) -> set[str]:
        """The files of the copy that belong at the address."""
        left_out = _STAYS if late else (*_STAYS, *_LATE)
        files = (path for path in self.local.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = {path.relative_to(self.local).as_posix() for path in files}
        return {name for name in names if not _within(name, left_out)}

    def _there(self) -> set[str]:
        """The files at the address."""
        self._files.invalidate_cache()
        if not self._files.exists(self._root):
            return set()
        root = PurePosixPath(self._root)
        return {PurePosixPath(path).relative_to(root).as_posix() for path in self._files.find(self._root)}

    def _digest(self, name: str) -> str:
        """The checksum of a file of the copy, which is only computed where it may have changed."""
        path = self.local / name
        found = path.stat()
        size, changed = found.st_size, found.st_mtime_ns
        known = self._seen.get(name)
        if known is None or known[:2] != (size, changed):
            known = self._seen[name] = (size, changed, sha256_of(path))
        return known[2]

    def _read_list(self, there: set[str]) -> dict[str, list[str | None]]:
        if LIST not in there:
            if others := sorted(name for name in there if not PurePosixPath(name).name.startswith(_COMING)):
                raise RunError(
                    f"`run_dir` must be empty, or a run that kertl wrote there. Received: run_dir={self.address!r}, "
                    f"which has {others[0]!r} and no {LIST}. Choose another address.",
                    code="run-directory",
                )
            return {}
        try:
            listed = _checks.parse_json(self._files.cat_file(f"{self._root}/{LIST}").decode())
            if not isinstance(listed, dict) or not all(_sound(name, one) for name, one in listed.items()):
                raise ValueError("JSON of another form")
            return listed
        except ValueError as error:
            raise self._damaged(LIST, str(error)) from error

    def _write_list(self, listed: dict[str, list[str | None]]) -> None:
        self._put(lambda path: self._files.pipe_file(path, json.dumps(listed, indent=1).encode()), LIST)
        self._known = listed

    def _fetch(self, name: str, accepted: list[str | None], *, exists: bool, afresh: bool) -> None:
        path = self.local / name
        if not exists:
            if None not in accepted:
                raise self._damaged(name, "no such file")
            path.unlink(missing_ok=True)
            return
        if not afresh and path.is_file() and accepted == [self._digest(name)]:
            return

        def download(beside: Path) -> None:
            with self._reached("read"):  # what cannot be read is not the disk of this machine
                self._files.get_file(f"{self._root}/{name}", str(beside))
            if (found := sha256_of(beside)) not in accepted:
                raise self._damaged(name, f"a file with the SHA-256 {found}, which is not the one in {LIST}")

        replace_file(path, download)

    def _upload(self, name: str) -> None:
        self._put(lambda path: self._files.put_file(str(self.local / name), path), name)

    def _put(self, write: Callable[[str], Any], name: str) -> None:
        """Let `write` write a file under another name, and then give it its own."""
        own = PurePosixPath(self._root) / name
        beside = str(own.with_name(f"{_COMING}{own.name}"))
        self._files.makedirs(str(own.parent), exist_ok=True)
        write(beside)
        self._files.mv(beside, str(own))

    def _damaged(self, name: str, found: str) -> RunError:
        return RunError(
            f"{self.address}/{name} must be what was uploaded. Received: {found}. Restore it, as from the copy in the "
            f"cache folder of the machine that uploaded it (here {str(self.local)!r}), or train again at "
            "another address.",
            code="damaged",
        )

    @contextmanager
    def _reached(self, what: str) -> Iterator[None]:
        """Say what could not be done, whatever the package for the address raises.

        Raises:
            RunError: If something was raised.
        """
        try:
            yield
        except RunError:
            raise
        except Exception as error:
            raise RunError(
                f"{self.address!r} cannot be {what}: {type(error).__name__}: {error}. Its copy on this machine is "
                f"{str(self.local)!r}, in the cache folder (KERTL_CACHE).",
                code="disk",
            ) from error


def _order(name: str) -> tuple[int, str]:
    """Checkpoints after what they build on; what says that a run has finished after all else."""
    return (2 if name == SUMS else 1 if _within(name, (_CHECKPOINTS,)) else 0, name)


def _within(name: str, folders: tuple[str, ...]) -> bool:
    return name.split("/", 1)[0] in folders


def _sound(name: str, accepted: Any) -> bool:
    """Whether an entry of the list names a file inside the folder, and checksums."""
    own = PurePosixPath(name)
    inside = ".." not in own.parts and not own.is_absolute() and "\\" not in name and not own.name.startswith(".")
    return inside and isinstance(accepted, list) and all(one is None or isinstance(one, str) for one in accepted)
