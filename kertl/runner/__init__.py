"""Running a recipe: stages one after the other, and a directory that tells what was done."""

from kertl.runner._directory import RunDirectory
from kertl.runner._fine_tune import Run, fine_tune
from kertl.runner._material import OnImages
from kertl.runner._unfreezing import gradual_unfreezing
from kertl.runner._verify import Verification, verify_cached

__all__ = ["OnImages", "Run", "RunDirectory", "Verification", "fine_tune", "gradual_unfreezing", "verify_cached"]
