"""Public names that are about to go: they keep working, and say what to use instead."""

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

REMOVALS: dict[str, str] = {}
"""Each deprecated name and the version that no longer has it; a test compares with the version."""


def warn(name: str, *, since: str, removed: str, instead: str, stacklevel: int = 3) -> None:
    """Say that a name, or a way to call it, is about to go; arguments as in `deprecated`."""
    warnings.warn(
        f"`{name}` is deprecated since kertl {since} and will be gone in {removed}. Use `{instead}`.",
        FutureWarning,
        stacklevel=stacklevel,
    )


def deprecated(
    *, since: str, removed: str, instead: str
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """A function that works as before and warns, with a `FutureWarning`, which Python shows to users.

    Args:
        since: The version that deprecated it.
        removed: The version that will no longer have it, two minor versions later.
        instead: What to use.

    Example:
        >>> import warnings
        >>> from kertl._deprecation import REMOVALS, deprecated
        >>> @deprecated(since="0.3", removed="0.5", instead="len")
        ... def count(things):
        ...     return len(things)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     count("abc")
        3
        >>> print(caught[0].message)
        `count` is deprecated since kertl 0.3 and will be gone in 0.5. Use `len`.
        >>> _ = REMOVALS.popitem()
    """

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        name = function.__qualname__
        REMOVALS[f"{function.__module__}.{name}"] = removed

        @functools.wraps(function)
        def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            warn(name, since=since, removed=removed, instead=instead, stacklevel=3)
            return function(*args, **kwargs)

        return wrapper

    return decorate
