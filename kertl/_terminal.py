"""Where progress is shown: on stderr, or in a notebook."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler

CONSOLE = Console(stderr=True)
"""One for all, so that displays at the same time are shown below each other."""


def shown(verbose: str | bool) -> bool:
    """Whether to show progress; "auto" does on a terminal and in a notebook."""
    return CONSOLE.file.isatty() or CONSOLE.is_jupyter if verbose == "auto" else bool(verbose)


@contextmanager
def told(verbose: str | int = "auto") -> Iterator[None]:
    """Show the messages of the library on a terminal and in a notebook for a while, as the command line does.

    Elsewhere, with `verbose=0`, and if logging has been set up, nothing changes.
    """
    logger = logging.getLogger("kertl")
    if not verbose or not shown("auto") or logger.hasHandlers():
        yield
        return
    handler, level = RichHandler(console=CONSOLE, show_time=False, show_path=False, show_level=False), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
