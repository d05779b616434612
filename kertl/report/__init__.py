"""The report of a run: one HTML file that needs nothing else, to read, send and keep.

write_report      the page of one run
write_comparison  several runs side by side
write_result      the page of any other result: a search, a cross-validation, a learning curve
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.report._comparison import write_comparison, write_result
    from kertl.report._page import REPORT
    from kertl.report._run_page import write_report
    from kertl.report._story import Story

__all__ = ["REPORT", "Story", "write_comparison", "write_report", "write_result"]

# The names that each module defines.
_HOMES = {
    "._page": ("REPORT",),
    "._run_page": ("write_report",),
    "._comparison": ("write_comparison", "write_result"),
    "._story": ("Story",),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)
