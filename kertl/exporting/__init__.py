"""A finished model in the form that it is needed in: exported, checked against the model, measured, described.

`export` writes one format, `benchmark` all of them side by side, `sensitivity` which layer
groups 8 bits hurt. `inspect` shows what is in a file and `verify` checks
the files of a run, without building anything.
"""

from kertl.exporting._benchmark import Benchmark, Measured, benchmark
from kertl.exporting._export import export
from kertl.exporting._formats import FORMATS, file_name
from kertl.exporting._result import Export
from kertl.exporting._sensitivity import GroupSensitivity, Sensitivity, sensitivity
from kertl.inspection import Checked, Inspection, Verification, inspect, verify

__all__ = [
    "FORMATS",
    "Benchmark",
    "Checked",
    "Export",
    "GroupSensitivity",
    "Inspection",
    "Measured",
    "Sensitivity",
    "Verification",
    "benchmark",
    "export",
    "file_name",
    "inspect",
    "sensitivity",
    "verify",
]
