"""A finished model in the form that it is needed in: exported, checked against the model, measured, described.

`export` writes one format, `benchmark` all of them side by side, `sensitivity` which layer
groups 8 bits hurt. `inspect` shows what is in a file and `verify` checks
the files of a run, without building anything.
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.exporting._benchmark import Benchmark, Measured, benchmark
    from kertl.exporting._export import export
    from kertl.exporting._exported import ENGINES, Exported, exported
    from kertl.exporting._formats import FORMATS, file_name
    from kertl.exporting._result import Export
    from kertl.exporting._sensitivity import GroupSensitivity, Sensitivity, sensitivity
    from kertl.inspection import Checked, Inspection, Verification, inspect, verify

__all__ = [
    "ENGINES",
    "FORMATS",
    "Benchmark",
    "Checked",
    "Export",
    "Exported",
    "GroupSensitivity",
    "Inspection",
    "Measured",
    "Sensitivity",
    "Verification",
    "benchmark",
    "export",
    "exported",
    "file_name",
    "inspect",
    "sensitivity",
    "verify",
]

# The names that each module defines.
_HOMES = {
    "._benchmark": ("Benchmark", "Measured", "benchmark"),
    "._export": ("export",),
    "._exported": ("ENGINES", "Exported", "exported"),
    "._formats": ("FORMATS", "file_name"),
    "._result": ("Export",),
    "._sensitivity": ("GroupSensitivity", "Sensitivity", "sensitivity"),
    "..inspection": ("Checked", "Inspection", "Verification", "inspect", "verify"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)
