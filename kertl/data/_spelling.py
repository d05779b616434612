"""Labels in a table that somebody wrote: which ones are missing, and which ones a person reads as the same class."""

import ast
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from kertl._checks import nearest

_MISSING = {"", "nan", "none", "na", "n/a", "null", "<na>"}
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
_WHOLE = re.compile(r"([+-]?\d+)\.0*")


def is_missing(label: str, named: Iterable[str]) -> bool:
    """Whether a label says that there is none, such as `nan`; a name that was asked for is never missing."""
    return label not in named and _visible(label).casefold() in _MISSING


def spellings(labels: Iterable[str], named: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """One name for labels that are the same class: what they are called, and what to say about it.

    `0` and `0.0`, `TRUE` and `True`, composed and decomposed accents, no-break and zero-width spaces are the same. A
    class that is written in one way only keeps its name; names that were asked for come first.

    Args:
        labels: The labels as they are written.
        named: The classes that were asked for; none if none were.

    Returns:
        The name of each label, and a sentence without subject for each class that is written in several ways and for
        each two that differ in case alone.
    """
    by_key: dict[str, set[str]] = defaultdict(set)
    for label in labels:
        by_key[_key(label)].add(label)
    asked = {_key(name): name for name in named}
    names: dict[str, str] = {}
    said = []
    for key, written in by_key.items():
        name = asked.get(key) or (key if len(written) > 1 else next(iter(written)))
        here = {label: label if label in named else name for label in written}
        names |= here
        if len(set(here.values())) < len(here):
            ways = ", ".join(map(repr, sorted(written)))
            said.append(f"has the labels {ways}, which are taken as one class, {name!r}")
    return names, sorted([*said, *differ_in_case(names.values())])


def differ_in_case(names: Iterable[str]) -> list[str]:
    """A sentence without subject for classes whose names differ in case alone."""
    by_case: dict[str, set[str]] = defaultdict(set)
    for name in names:
        by_case[name.casefold()].add(name)
    alike = [" and ".join(map(repr, sorted(found))) for found in by_case.values() if len(found) > 1]
    return [f"has the classes {each}, which differ in case alone" for each in alike]


def near_twin(name: str, names: Iterable[str]) -> str:
    """`Did you mean 'cat'?` for a class that is not among others, or nothing if none of them resembles it."""
    others = [other for other in names if other != name]
    same = [other for other in others if _key(other).casefold() == _key(name).casefold()]
    if not same:
        return nearest(name, others)
    form = ascii if _visible(same[0]) == _visible(name) else repr  # what looks the same is told apart
    return f"Did you mean {form(same[0])}? It is not {form(name)}."


def listed(label: str) -> list[str] | None:
    """The labels in a Python list of texts, such as `['a', 'b']`; None if it is none."""
    text = _visible(label)
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return list(found) if all(isinstance(each, str) for each in found) else None


def _visible(label: str) -> str:
    return unicodedata.normalize("NFC", label.translate(_INVISIBLE)).replace("\u00a0", " ").strip()


def _key(label: str) -> str:
    """The same for labels that are the same class."""
    text = _visible(label)
    if text.lower() in ("true", "false"):
        return text.capitalize()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text
