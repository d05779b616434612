"""Running a recipe: stages one after the other, and a directory that records what was done."""

from kertl.runner._description import RECIPE
from kertl.runner._directory import RunDirectory
from kertl.runner._fine_tune import fine_tune
from kertl.runner._read import check_finished, data_of, read_run
from kertl.runner._run import Run, StageValue
from kertl.runner._unfreezing import gradual_unfreezing

__all__ = [
    "RECIPE",
    "Run",
    "RunDirectory",
    "StageValue",
    "check_finished",
    "data_of",
    "fine_tune",
    "gradual_unfreezing",
    "read_run",
]
