"""What to know about single files before trusting a model that is trained on them."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

SAME = "has the same content as"
OTHER = ("of another class", "with another label")  # that follow, of the one and of several classes per image
_LINES, _ALIKE = 20, 4  # lines of a summary, and of those that say the same of different files


@dataclasses.dataclass(frozen=True, slots=True)
class Issue:
    """Something to know about a file before trusting a model that is trained on it."""

    path: str
    """The file, as the records name it."""
    reason: str
    """Why it was left out, or what is odd about it."""
    left_out: bool = True
    """Whether the file is in none of the sets."""

    def __str__(self) -> str:
        return f"{self.path!r} {self.reason}"  # `repr` escapes what would disturb a terminal


def summary_of(issues: Sequence[Issue]) -> str:
    """A line for each of the first issues, beginning with the files that were left out, and a count of the rest."""
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
        lines.append(f"and {len(issues) - len(lines)} more: `issues` has all, and --verbose shows them")
    return "\n".join([heading, *lines, *filter(None, [advice_on(issues)])])


def advice_on(issues: Sequence[Issue]) -> str:
    """What images with several labels mean and what to do about them; empty if there are none."""
    kinds = "|".join(OTHER)
    count = sum(re.match(f"{SAME} .*['\"] ({kinds}), ", issue.reason) is not None for issue in issues)
    if not count:
        return ""
    return (
        f"{count} files have the content of one with another label, so that one of the labels is wrong or the image "
        "shows both. All are used, on one side of the split: training is told both, and no answer to such an image "
        "counts as right for each. Remove the wrong copies and train anew; if both labels are right, use "
        "task='multi_label'."
    )


def _alike(issue: Issue) -> tuple[bool, str]:
    """The same text for issues that differ only in names and numbers."""
    return issue.left_out, re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "", issue.reason)
