"""The report of a run: one HTML file that needs nothing else, to read, send and keep.

write_report      the page of one run
write_comparison  several runs side by side
write_result      the page of any other result: a search, a cross-validation, a learning curve
"""

from kertl.report._page import REPORT
from kertl.report._run_page import Story, write_comparison, write_report, write_result

__all__ = ["REPORT", "Story", "write_comparison", "write_report", "write_result"]
