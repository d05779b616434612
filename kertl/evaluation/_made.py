"""What made a file of predictions, noted beside it, so that no other call writes over it.

The note is there before the file takes its name, and says how large the file is. After a kill between the two there is
no file, and the note counts for nothing.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kertl.errors import RunError
from kertl.run_files import read_json, replace_file, write_json

_logger = logging.getLogger(__name__)

_OF_THE_FILE = {"rows", "bytes", "of", "names"}
"""What a note says besides what made the file."""


def note_of(out: Path) -> Path:
    """Where it is noted what made a file."""
    return out.with_name(f"{out.name}.made.json")


def read_note(out: Path) -> dict[str, Any]:
    """What made a file, with its `rows` and `bytes`; empty if nobody knows."""
    note: Any = None
    with contextlib.suppress(OSError, ValueError):
        note = read_json(note_of(out))
    return note if isinstance(note, dict) else {}


def write_noted(out: Path, write: Callable[[Path], None], note: Mapping[str, Any]) -> None:
    """Let `write` write a file, which takes its name as a whole once it is noted what made it."""

    def both(beside: Path) -> None:
        write(beside)
        write_json(note_of(out), {**note, "bytes": beside.stat().st_size})

    replace_file(out, both)


def is_finished(out: Path, plan: Mapping[str, Any]) -> bool:
    """Whether there is a file, which the same call has finished.

    Raises:
        RunError: If another call made it, or it has changed since.
    """
    if not out.exists():
        return False
    note = read_note(out)
    if not note:
        raise _refuse(out, f"without the note that says what made it, {note_of(out).name}")
    if differ := differing(note, plan):
        raise _refuse(out, f"which differs in {', '.join(differ)}")
    if note.get("bytes") != out.stat().st_size:
        raise _refuse(out, "which has changed since it was written")
    return True


def say_finished(out: Path, rows: int) -> None:
    """Log that nothing is done."""
    _logger.info("%s is finished: the same call wrote its %d rows.", out, rows)


def differing(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of what differs between two plans, and among their options."""
    names = sorted(name for name in {*there, *now} - _OF_THE_FILE if there.get(name) != now.get(name))
    one, other = there.get("options"), now.get("options")
    if "options" in names and isinstance(one, dict) and isinstance(other, dict):
        names[names.index("options") : names.index("options") + 1] = differing(one, other)
    return names


def _refuse(out: Path, what: str) -> RunError:
    return RunError(
        f"`out` must be a new file, or one that the same call began or finished. Received: out={str(out)!r}, {what}. "
        "Remove it, or choose another file.",
        code="run-differs",
    )
