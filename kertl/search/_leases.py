"""Leases: each worker of a search shows that it lives, and the trial of one that no longer does goes to another.

KerasTuner's chief waits for ever for a worker that was killed. Here every worker writes a number into a file of its own
again and again, and the chief looks whether the numbers change; its own clock decides, so that clocks that differ
between machines do not matter.
"""

import contextlib
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from kertl.search._chief import dismiss
from kertl.search._oracles import Durable

FOLDER = "workers"
BEAT = 5.0
"""Seconds between two signs of life."""
LOST = 60.0
"""Seconds without one after which a worker counts as lost."""


@contextlib.contextmanager
def lease(folder: Path, oracle: Durable) -> Iterator[None]:
    """In a worker: show that it lives. In a chief: give up those that do not. In a search of one process: nothing."""
    name = os.environ.get("KERASTUNER_TUNER_ID")
    if name is None:
        yield
        return
    path = folder / FOLDER
    path.mkdir(parents=True, exist_ok=True)
    act = Watch(path, oracle).look if "chief" in name else _beat(_sign_of(path, name))
    stop = threading.Event()
    thread = threading.Thread(target=_again_and_again, args=(act, stop), name=f"lease of {name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Watch:
    """What a chief knows of its workers.

    Args:
        folder: Where their signs of life are.
        oracle: What it gives up lost ones of.
    """

    def __init__(self, folder: Path, oracle: Durable) -> None:
        self._folder, self._oracle = folder, oracle
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._begin = time.monotonic()
        self._dismissed = False

    def look(self) -> None:
        """Give up each worker that has shown no sign of life for `LOST` seconds; stop if nothing is left to do."""
        now = time.monotonic()
        for name in self._oracle.workers():
            try:
                sign = _sign_of(self._folder, name).read_bytes()
            except OSError:
                sign = b""
            before, since = self._seen.get(name, (None, now))
            if sign != before:
                since = now
            self._seen[name] = (sign, since)
            if now - since > LOST:
                self._oracle.give_up(name, now - since)
                del self._seen[name]
        # A chief that is started again after the last trial finds nobody who would ask for one.
        if not self._dismissed and now - self._begin > LOST and self._oracle.over() and not self._oracle.workers():
            self._dismissed = True
            dismiss(self._oracle)


def _sign_of(folder: Path, worker: str) -> Path:
    """The file of a worker; its name comes over the network, and is not trusted as a path."""
    return folder / hashlib.sha256(worker.encode()).hexdigest()[:16]


def _beat(path: Path) -> Callable[[], None]:
    counted = itertools.count()

    def write() -> None:
        with contextlib.suppress(OSError):  # a full disk must not end the trial
            path.write_text(f"{os.getpid()} {next(counted)}")

    return write


def _again_and_again(act: Callable[[], None], stop: threading.Event) -> None:
    while True:
        act()
        if stop.wait(BEAT):
            return
