"""Checks of arguments, with errors in one wording.

Each returns the value it was given, in plain Python where an array or a path stands for it, or raises: nothing is
repaired.
"""

import difflib
import enum
import json
import math
import numbers
import os
import re
import sys
from collections.abc import Iterable, Set, Sized
from pathlib import Path
from typing import Any

from kertl.errors import ArgumentError

LARGEST_SIDE = 4096
"""Side in pixels of the largest square image that is made; a batch of 16,000 instead of 160 would fill a machine."""
LARGEST_SEED = 4_000_000_000
"""Largest seed where Keras and scikit-learn take it, which is below 2**32, with room for those counted on from it."""
_LARGEST_INTEGER = 2**63 - 1
_DEEPEST = 100
_LONGEST = 400  # characters of a value in a message
_COLLAPSED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/+")
"""How a path begins that was an address: `Path("gs://bucket/run")` is gs:/bucket/run."""


def complain(argument: str, accepted: str, value: object, advice: str = "", *, code: str = "argument") -> ArgumentError:
    """The error for a wrong argument: what is accepted, what was received, what to do."""
    message = f"`{argument}` must be {accepted}. Received: {argument}={_shown(value)}."
    return ArgumentError(f"{message} {advice}".rstrip(), code=code)


def _shown(value: object) -> str:
    """A value as `repr` shows it; of a long one, such as an array of images, the beginning and the end on one line."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = f"<{type(value).__name__} that cannot be shown>"
    if len(text) <= _LONGEST:
        return text
    text = " ".join(text.split())
    return f"{text[: _LONGEST - 100]} … {text[-60:]}"


def number(
    argument: str,
    value: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
) -> Any:
    """`value`, if it is a finite number inside the bounds given."""
    real = not isinstance(value, bool) and isinstance(value, numbers.Real)
    if real and too_large_for_a_float(value) and below is None and at_most is None:
        at_most = sys.float_info.max
    bounds = [
        f"{sign} {bound}"
        for sign, bound in ((">", above), (">=", at_least), ("<", below), ("<=", at_most))
        if bound is not None
    ]
    accepted = "a number" + (" " + " and ".join(bounds) if bounds else "")
    inside = (
        real
        and not too_large_for_a_float(value)
        and math.isfinite(value)
        and (above is None or float(value) > above)
        and (at_least is None or float(value) >= at_least)
        and (below is None or float(value) < below)
        and (at_most is None or float(value) <= at_most)
    )
    if not inside:
        raise complain(argument, accepted, value, code="range")
    return value


def too_large_for_a_float(value: numbers.Real) -> bool:
    """Whether a whole number or a fraction is beyond the floats; infinity is one of them."""
    try:
        float(value)
    except OverflowError:
        return True
    return False


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, Python's or NumPy's; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def integer(argument: str, value: Any, *, at_least: int | None = None, at_most: int | None = None) -> Any:
    """`value`, if it is a whole number inside the bounds given, and of at most 64 bits."""
    whole = is_whole(value)
    if whole and at_most is None and value > _LARGEST_INTEGER:
        at_most = _LARGEST_INTEGER
    low, high = at_least is not None and whole and value < at_least, at_most is not None and whole and value > at_most
    if not whole or low or high:
        bounds = [f"{sign} {bound}" for sign, bound in ((">=", at_least), ("<=", at_most)) if bound is not None]
        accepted = "a whole number" + (" " + " and ".join(bounds) if bounds else "")
        raise complain(argument, accepted, value, code="range")
    return value


def path(argument: str, value: Any, accepted: str = "a path") -> Path:
    """`value` as a path, if it is a text or a path; an empty text would be the current directory."""
    if not isinstance(value, (str, os.PathLike)):
        raise complain(argument, accepted, value)
    if value == "":
        raise complain(argument, accepted, value, "Pass '.' for the current directory.")
    if "://" in os.fsdecode(value):
        raise complain(argument, f"{accepted} on this machine", value)
    if isinstance(value, os.PathLike) and _COLLAPSED.match(os.fsdecode(value)):
        raise complain(argument, accepted, value, "`Path` makes one / of two: pass an address as a text.")
    return Path(value)


def paths(argument: str, value: Any, accepted: str = "a file, a folder, or a list of them") -> list[Path]:
    """`value` as a list of paths: one of them, or several in whatever can be gone through."""
    if isinstance(value, (str, os.PathLike)):
        return [path(argument, value, accepted)]
    if isinstance(value, (bytes, Set)):  # a set has another order in each process
        raise complain(argument, accepted, value)
    return [path(argument, one, accepted) for one in several(argument, value, accepted)]


def check_cache_dir(value: Any) -> Path | None:
    """What is given as `cache_dir` as a path; None stays None."""
    if value is None:
        return None
    folder = path("cache_dir", value)
    if folder.exists() and not folder.is_dir():
        raise complain("cache_dir", "a folder, which need not exist yet", value)
    return folder


def several(argument: str, value: Any, accepted: str) -> Any:
    """`value`, if one can go through it; what is in it is checked by whoever does."""
    if not isinstance(value, Iterable):
        raise complain(argument, accepted, value)
    return value


def each(argument: str, value: Any, kind: type, accepted: str) -> list[Any]:
    """`value` as a list, if all in it are of a kind."""
    found = list(several(argument, value, accepted))
    for one in found:
        if not isinstance(one, kind):
            raise complain(argument, accepted, one)
    return found


def names(argument: str, value: Any, accepted: str = "a list of names") -> list[str]:
    """`value` as a list, if it has texts alone, in an order: a list, an array, a column, an index, a generator.

    A set has another order in each process, and a single text is no list.
    """
    if isinstance(value, (str, bytes, Set)):
        raise complain(argument, accepted, value)
    try:
        found = [plain(name) for name in several(argument, value, accepted)]
    except TypeError as error:  # an array without dimensions says that it can be gone through
        raise complain(argument, accepted, value) from error
    if not all(isinstance(name, str) for name in found):
        raise complain(argument, accepted, value if isinstance(value, Sized) else found)
    return [str(name) for name in found]


def class_names(value: Any) -> list[str] | None:
    """What is given as `class_names` as a list; None stays None."""
    return None if value is None else names("class_names", value, "a list of names, in the order of the labels")


def plain(label: Any) -> Any:
    """The text or number of a member of a `str` or `int` enumeration, which NumPy reads wrongly; all else unchanged."""
    return label.value if isinstance(label, enum.Enum) and isinstance(label, (str, int)) else label


def among(value: Any, choices: Iterable[Any]) -> bool:
    """Whether `value` is one of `choices`.

    An array, which compares element by element, is none, nor is a missing value, which equals nothing.
    """
    try:
        hash(value)  # an array of one element would equal what it holds
        return value in list(choices)
    except (TypeError, ValueError, RuntimeError):
        return False


def one_of(argument: str, value: Any, accepted: Iterable[Any]) -> Any:
    """`value`, if it is among `accepted`; the error names the nearest ones."""
    choices = list(accepted)
    if not among(value, choices):
        listed = " or ".join(repr(choice) for choice in choices)
        raise complain(argument, listed, value, nearest(value, choices), code="choice")
    return value


def named(model: Any) -> str:
    """What a message calls a model: its name, or the file that it was loaded from if Keras made up the name."""
    file = getattr(model, "file_name", None)
    made_up = re.fullmatch(r"(functional|sequential|model)(_\d+)?", str(model.name))
    return repr(file if file and made_up else model.name)


def nearest(value: object, choices: Iterable[object]) -> str:
    """`Did you mean 'a' or 'b'?`, or nothing if no choice resembles `value`."""
    by_lower_case = {str(choice).lower(): str(choice) for choice in choices}
    found = difflib.get_close_matches(str(value).lower(), by_lower_case, n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(repr(by_lower_case[name]) for name in found)}?" if found else ""


def whole_numbers(value: Any, count: int) -> tuple[int, ...] | None:
    """`value` as a tuple, if it is a tuple, a list or an array of so many whole numbers; else None."""
    given = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(given, (tuple, list)) or len(given) != count or not all(map(is_whole, given)):
        return None
    return tuple(map(int, given))


def pair(argument: str, value: Any, *, at_least: int = 1) -> tuple[int, int]:
    """`value` as `(height, width)` of an image, if it is that, with at most `LARGEST_SIDE` squared pixels."""
    sides = whole_numbers(value, 2)
    if sides is None or min(sides) < at_least:
        raise complain(argument, f"(height, width), two whole numbers >= {at_least}", value)
    height, width = sides
    if height * width > LARGEST_SIDE**2:
        raise complain(argument, f"(height, width) of at most {LARGEST_SIDE**2:,} pixels in all", value)
    return height, width


def parse_json(text: str) -> Any:
    """The value in a JSON text, nested at most 100 deep, so that what goes through it does not run out of stack.

    Raises:
        ValueError: If it is not JSON, or is nested more deeply.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"JSON that is nested more than {_DEEPEST} deep") from error
    level = [value]
    for _ in range(_DEEPEST + 1):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return value
    raise ValueError(f"JSON that is nested more than {_DEEPEST} deep")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
