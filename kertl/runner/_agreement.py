"""What the chief of several workers reads or decides, for all of them; with one process, what it reads itself."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from kertl.hardware import Team
from kertl.runner._values import from_bytes, to_bytes

T = TypeVar("T")


def agreed(team: Team, make: Callable[[], T]) -> T:
    """The value that `make` gives the chief; in the other processes it is not called.

    Args:
        team: The processes.
        make: Gives numbers, strings, None, arrays, lists and dictionaries with strings as keys.

    Raises:
        RunError: In the other processes, if it raised an error in the chief, which raises it itself.
    """
    return make() if team.size == 1 else from_bytes(team.bytes_from_chief(lambda: to_bytes(make())))


def outside(team: Team, make: Callable[[], T]) -> T:
    """What `make` gives where no strategy is in effect, which a new thread is: it may make variables by itself.

    Inside the scope of a strategy of several workers, a variable that one process makes waits for the others.
    """
    if team.size == 1:
        return make()
    found: list[Any] = []

    def run() -> None:
        try:
            found.append((make(), None))
        except Exception as error:
            found.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = found[0]
    if error is not None:
        raise error
    return value
