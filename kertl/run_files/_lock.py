"""One process at a time in a run directory."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from kertl._places import as_given
from kertl.errors import RunError
from kertl.run_files._files import remove_partial

_LOCK = ".lock"
# Apart from the lock, which other processes cannot read on Windows while it is held.
_HOLDER = ".lock-holder"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the folder for this process, and remove what a killed one left half-written there.

    The system releases the lock when the process ends, however it ends.

    Raises:
        RunError: If another process has it, or it cannot be made or written to.
    """
    lock, holder = FileLock(folder / _LOCK), folder / _HOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RunError(
            f"`run_dir` must be used by one process at a time. Received: run_dir={as_given(folder)!r}, in use by "
            f"{_named_in(holder)}. Wait for it, stop it, or choose another directory.",
            code="run-in-use",
        ) from error
    except OSError as error:
        raise _not_writable(folder, error) from error
    try:
        try:
            remove_partial(folder)
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        except OSError as error:
            raise _not_writable(folder, error) from error
        try:
            yield
        finally:
            holder.unlink(missing_ok=True)
    finally:
        lock.release()


def in_use(folder: Path) -> bool:
    """Whether a process has locked the folder."""
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def _not_writable(folder: Path, error: OSError) -> RunError:
    return RunError(
        f"`run_dir` must be a directory that can be written to. Received: run_dir={str(folder)!r}: "
        f"{error.strerror or error}. Choose another one.",
        code="run-directory",
    )


def _named_in(holder: Path) -> str:
    """The process that has the lock; its name is not yet written in the moment after it took the lock."""
    try:
        return holder.read_text(encoding="utf-8").strip() or "another process"
    except OSError:
        return "another process"
