"""The processes that train one model together: one of them, the chief, decides and writes.

All of them must ask `Team` for the same things in the same order; one that does not leaves the others waiting.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kertl.errors import RunError
from kertl.hardware._strategy import current_strategy, has_workers, tasks

_AT_ONCE = 16 * 2**20  # numbers of 4 bytes that go over the network in one piece
# What TensorFlow raises where another process has gone.
_LOST = ("UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError", "InternalError")


class Team:
    """The workers of a `tf.distribute.MultiWorkerMirroredStrategy`, or this process alone.

    Attributes:
        size: How many processes there are.
        index: The number of this one.
        chief: Whether it is the one that decides and writes.

    Args:
        strategy: The strategy, or None.
    """

    def __init__(self, strategy: Any = None) -> None:
        self._strategy = strategy if has_workers(strategy) else None
        self.size, self.index = 1, 0
        if self._strategy is not None:
            resolver = self._strategy.cluster_resolver
            found = tasks(resolver)
            self.size, self.index = len(found), found.index((resolver.task_type, resolver.task_id))

    @property
    def chief(self) -> bool:
        """Whether it is the one that decides and writes."""
        return self.index == 0

    def bytes_from_chief(self, make: Callable[[], bytes]) -> bytes:
        """What `make` gives the chief, for every process; it is not called in the others.

        Raises:
            RunError: In the other processes, if `make` raised an error in the chief, which raises it itself.
        """
        if self._strategy is None:
            return make()
        failure, sent = None, b""
        if self.chief:
            try:
                sent = make()
            except Exception as error:
                failure, sent = error, str(error).encode()
        failed, length = self._sum(np.array([failure is not None, len(sent)], np.int32)).tolist()
        found = self._spread(sent, length)
        if failure is not None:
            raise failure
        if failed:
            raise RunError(f"The chief of {self.size} workers stopped: {found.decode()}", code="workers")
        return found

    def values_from_chief(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """The chief's values of arrays that have the same shapes in every process."""
        if self._strategy is None:
            return values
        found = self.bytes_from_chief(lambda: b"".join(np.ascontiguousarray(value).tobytes() for value in values))
        sizes = np.cumsum([0, *(value.nbytes for value in values)])
        return [
            np.frombuffer(found[begin:end], value.dtype).reshape(value.shape)
            for value, begin, end in zip(values, sizes, sizes[1:], strict=False)
        ]

    def rows_of_all(self, rows: np.ndarray) -> np.ndarray:
        """The rows of every process, those of the chief first; apart from their number they are of one shape."""
        if self._strategy is None:
            return rows
        sent = np.ascontiguousarray(rows).tobytes()
        counts = np.zeros(self.size, np.int32)
        counts[self.index] = len(rows)
        counts = self._sum(counts)
        of_row = rows.itemsize * math.prod(rows.shape[1:])
        found = b"".join(self._spread(sent, int(count) * of_row, sender) for sender, count in enumerate(counts))
        return np.frombuffer(found, rows.dtype).reshape(-1, *rows.shape[1:])

    def check_alike(self, what: str, text: bytes) -> None:
        """Raise unless every process has the same as the chief.

        Args:
            what: What is compared, for the error.
            text: What this process has.

        Raises:
            RunError: In all processes, if one has something else.
        """
        own = hashlib.sha256(text).digest()
        theirs = self.bytes_from_chief(lambda: own)
        if self._strategy is not None and (other := int(self._sum(np.array([own != theirs], np.int32))[0])):
            raise RunError(
                f"All {self.size} workers must have the same {what}. Received: another one in {other} of them. Give "
                f"each the same files and the same call.",
                code="workers",
            )

    @contextmanager
    def loss_named(self, hint: Callable[[], str]) -> Iterator[None]:
        """Say so where another process has gone.

        Args:
            hint: Says what there is to resume from.

        Raises:
            RunError: If a process of the team can no longer be reached.
        """
        try:
            yield
        except Exception as error:
            if self._strategy is None or type(error).__name__ not in _LOST:
                raise
            raise RunError(
                f"Another of the {self.size} workers has gone, and none can go on without it. Start all of them again. "
                f"{hint()}",
                code="workers",
            ) from error

    def _sum(self, numbers: np.ndarray) -> np.ndarray:
        """The sum over all processes of whole numbers, given once by each."""
        import tensorflow as tf

        strategy: Any = self._strategy
        first = strategy.experimental_distribute_values_from_function
        own = self.index * strategy.num_replicas_in_sync // self.size  # the first of its replicas

        def given(context: Any) -> Any:
            return tf.constant(numbers if context.replica_id_in_sync_group == own else np.zeros_like(numbers))

        return np.asarray(strategy.reduce("SUM", first(given), axis=None))

    def _spread(self, sent: bytes, length: int, sender: int = 0) -> bytes:
        whole = np.zeros(-(-length // 4), np.int32)
        if self.index == sender:
            whole = np.frombuffer(sent.ljust(4 * len(whole), b"\0"), np.int32)
        parts = [self._sum(whole[at : at + _AT_ONCE]) for at in range(0, len(whole), _AT_ONCE)]
        return b"".join(part.tobytes() for part in parts)[:length]


def team_of(model: Any) -> Team:
    """The processes that train a model together: those of the strategy that it was built under."""
    return Team(getattr(model, "distribute_strategy", None))


def team() -> Team:
    """The processes of the strategy in effect."""
    return Team(current_strategy())
