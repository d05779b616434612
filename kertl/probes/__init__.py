"""What frozen features achieve before anything is trained: classical classifiers at every depth of a backbone."""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.probes._baselines import Baseline, Baselines, baselines
    from kertl.probes._classifiers import RIDGE_STRENGTHS, Ridge, Standardiser, classes_of
    from kertl.probes._depths import Depth, Depths
    from kertl.probes._exact import FOLDS, STRENGTHS, USUAL_STRENGTH, Solution, solve

__all__ = [
    "FOLDS",
    "RIDGE_STRENGTHS",
    "STRENGTHS",
    "USUAL_STRENGTH",
    "Baseline",
    "Baselines",
    "Depth",
    "Depths",
    "Ridge",
    "Solution",
    "Standardiser",
    "baselines",
    "classes_of",
    "solve",
]

# The names that each module defines.
_HOMES = {
    "._baselines": ("Baseline", "Baselines", "baselines"),
    "._classifiers": ("RIDGE_STRENGTHS", "Ridge", "Standardiser", "classes_of"),
    "._depths": ("Depth", "Depths"),
    "._exact": ("FOLDS", "STRENGTHS", "USUAL_STRENGTH", "Solution", "solve"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)
