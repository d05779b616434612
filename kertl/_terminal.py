"""What is shown on stderr or in a notebook: where, and what of a name that somebody else chose."""

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


def printable(text: str, lines: bool = False) -> str:
    """A text with control characters and bytes that are not text escaped, as `repr` escapes them.

    Args:
        text: A name that somebody chose, or a message that may have one in it.
        lines: Whether line breaks stay.
    """
    return "".join(
        char if char.isprintable() or (lines and char == "\n") else char.encode("unicode_escape").decode()
        for char in text
    )


def shortened(name: str, most: int = 40) -> str:
    """A name as `printable`, for a table: a long one with its middle cut out, since names may differ at either end."""
    text = printable(name)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[len(text) - (most - 1) // 2 :]}"


def counted(count: int, word: str) -> str:
    """So many of something: "1 epoch", "2 epochs"."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def span(seconds: float) -> str:
    """A time in words, in the unit that suits it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


class Printable(logging.Formatter):
    """Messages whose control characters are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The message."""
        return printable(super().format(record), lines=True)


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
    handler.setFormatter(Printable("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
