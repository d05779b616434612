"""What frozen features achieve before anything is trained: classical classifiers at every depth of a backbone."""

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
