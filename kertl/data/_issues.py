"""What is to be known about single files before trusting what is trained on them."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

_LINES, _ALIKE = 20, 4  # of a summary, and of those that say the same of another file


@dataclasses.dataclass(frozen=True, slots=True)
class Issue:
    """Something to know about a file before trusting what is trained on it."""

    path: str
    """The file, as the records name it."""
    reason: str
    """Why it was left out, or what is odd about it."""
    left_out: bool = True
    """Whether the file takes no part in any of the splits."""

    def __str__(self) -> str:
        return f"{self.path!r} {self.reason}"  # `repr` escapes what would disturb a terminal


def summary_of(issues: Sequence[Issue]) -> str:
    """A line for each of the first issues, those that cost a file before the others, and a count of the rest."""
    if not issues:
        return "no issues"
    left_out = sum(issue.left_out for issue in issues)
    lines: list[str] = []
    said: Counter[tuple[bool, str]] = Counter()
    for issue in sorted(issues, key=lambda issue: not issue.left_out):
        said[_alike(issue)] += 1
        if said[_alike(issue)] <= _ALIKE and len(lines) < _LINES:
            lines.append(str(issue))
    heading = f"{len(issues)} issue{'s' * (len(issues) > 1)}, {left_out} of them files that were left out"
    if len(issues) > len(lines):
        lines.append(f"and {len(issues) - len(lines)} more, see `issues`")
    return "\n".join([heading, *lines])


def _alike(issue: Issue) -> tuple[bool, str]:
    """The same for issues that differ in names and numbers only."""
    return issue.left_out, re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "", issue.reason)


def printable(name: str) -> str:
    """A name with its line breaks, control characters and bytes that are no text escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in name)
