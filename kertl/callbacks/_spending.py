"""A share of the time of a training, which what only watches it may take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Spending:
    """Keeps what is measured besides training within a share of the time since `begin`.

    Args:
        share: Largest share of the time; 1 allows everything.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._begun, self._spent = time.perf_counter(), 0.0
        self._took: dict[str, float] = {}

    def begin(self) -> None:
        """Start the clock."""
        self._begun, self._spent = time.perf_counter(), 0.0

    def allows(self, what: str, at_first: float = 1e-3) -> bool:
        """Whether there is time for something, which takes what it took last.

        Args:
            what: What is to be done.
            at_first: What it is taken to need, in seconds, before it was done once.
        """
        expected = self._spent + self._took.get(what, at_first)
        return self._share == 1 or expected <= self._share * (time.perf_counter() - self._begun)

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Do it, and count its time."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._took[what] = time.perf_counter() - start
            self._spent += self._took[what]
