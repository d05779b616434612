"""One process at a time in a run directory."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kertl.errors import RunError

try:
    import fcntl
except ImportError:  # not POSIX: two processes in one run directory are then not found
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have the folder to oneself; the system gives it free when the process ends, however it ends.

    Raises:
        RunError: If another process has it, or it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"`run_dir` must be a directory that can be written to. Received: run_dir={str(folder)!r}: "
            f"{error.strerror}. Choose another one."
        ) from error
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise RunError(
                    f"`run_dir` must be used by one process at a time. Received: run_dir={str(folder)!r}, in use by "
                    f"{file.read().strip()}. Wait for it, stop it, or choose another directory."
                ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
