"""What decoding may take of the machine: how many files at once, and how many pixels."""

import contextlib
import threading
from collections.abc import Iterator

from kertl import hardware


def threads() -> int:
    """How many files are read at once: one per core this process may use."""
    return hardware.cores()


class Budget:
    """At most so many of something at a time, over all threads; whoever comes first is first.

    Args:
        most: How many; nobody may take more at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._changed = threading.Condition()
        self._turn = threading.Lock()  # who waits for many is not overtaken by those who need few

    @contextlib.contextmanager
    def take(self, count: int) -> Iterator[None]:
        """Wait until there is room for `count`, and keep it."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self.taken + count <= self.most)
            self.taken += count
        try:
            yield
        finally:
            with self._changed:
                self.taken -= count
                self._changed.notify()
