"""What is shown on stderr or in a notebook: where, and what of a name that somebody else chose."""

import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import track

CONSOLE = Console(stderr=True)
"""One for all, so that displays at the same time are shown below each other; its `quiet` silences all of them."""

_logger = logging.getLogger(__name__)
_PATIENCE_SECONDS, _BETWEEN_SECONDS = 5.0, 60.0  # after which something is said where there is no spinner
Item = TypeVar("Item")


def shown(verbose: str | bool) -> bool:
    """Whether to show progress; "auto" does on a terminal and in a notebook, unless the console is quiet."""
    if verbose != "auto":
        return bool(verbose)
    return not CONSOLE.quiet and (CONSOLE.file.isatty() or CONSOLE.is_jupyter)


@contextmanager
def traced_quietly() -> Iterator[None]:
    """Keep TensorFlow from warning that functions are traced anew, where each new model has to be traced once.

    It counts over all models of a process, and so warns of a model that was used for the first time.
    """

    def wanted(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(wanted)
    try:
        yield
    finally:
        logger.removeFilter(wanted)


@contextmanager
def working(what: str, verbose: str | int = "auto", console: Console = CONSOLE) -> Iterator[None]:
    """Show that something goes on: a spinner on a terminal, elsewhere a message if it takes longer than five seconds.

    Args:
        what: What goes on, such as "Evaluating".
        verbose: 0 for silence.
        console: Where to show it.
    """
    if not verbose or console.quiet:
        yield
    elif console.file.isatty():
        with console.status(f"{what} …"):
            yield
    else:
        told = console.print if console is not CONSOLE else _logger.info  # as the library's other messages
        later = threading.Timer(_PATIENCE_SECONDS, told, [f"{what} …"])
        later.daemon = True
        later.start()
        try:
            yield
        finally:
            later.cancel()


class Pulse:
    """Says in the log how far long work is, where there is no bar: first after five seconds, then every minute."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._next = time.monotonic() + _PATIENCE_SECONDS

    def beat(self, done: int) -> None:
        """So much is done."""
        if time.monotonic() > self._next:
            self._next = time.monotonic() + _BETWEEN_SECONDS
            _logger.info("%s: %s of %s.", self._what, f"{done:,}", counted(self._total, self._unit))


def tracked(items: Iterable[Item], what: str, total: int, unit: str, verbose: str | bool = "auto") -> Iterator[Item]:
    """The items, with a bar on a terminal and in a notebook, and now and then a line in the log elsewhere."""
    if shown(verbose):
        yield from track(items, description=what, total=total, console=CONSOLE, transient=True)
        return
    pulse = Pulse(what, total, unit)
    for done, item in enumerate(items):
        if verbose and not CONSOLE.quiet:
            pulse.beat(done)
        yield item


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


def json_text(value: Any) -> str:
    """JSON in which what is not printable is escaped, as JSON can."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


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
