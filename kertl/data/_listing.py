"""Which files are meant by paths of files and folders."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kertl._places import Places, none_usable
from kertl.data._issues import Issue
from kertl.data._links import Owners
from kertl.data._scan import walk
from kertl.errors import DataError


def files_in(given: Iterable[Path], issues: list[Issue]) -> list[str]:
    """The files given, and those in the folders given; what is passed over in folders is added to `issues`."""
    places, owners = Places(), Owners()
    found: list[str] = []
    for path in given:
        if path.is_dir():
            found += walk(path, issues, Path(), owners)
        else:
            found.append(places.path(path))
    return found


def refuse_none(usable: Sequence[Any], given: Sequence[Path], issues: Sequence[Issue]) -> None:
    """Raise if no image can be used.

    Raises:
        DataError: If so; the message has the first reasons.
    """
    if usable:
        return
    if issues:
        first = [(issue.path, issue.reason) for issue in issues[:3]]
        raise none_usable("that `paths` names", Places(), first, len(issues))
    named = ", ".join(repr(str(path)) for path in given[:3]) or "none"
    raise DataError(
        f"`paths` must name at least one image that can be read. Received: {named}, without a file in it.",
        code="no-images",
    )
