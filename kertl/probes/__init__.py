"""What frozen features achieve before anything is trained: classical classifiers at every depth of a backbone."""

from kertl.probes._baselines import Baseline, Baselines, baselines
from kertl.probes._classifiers import RIDGE_STRENGTHS, Ridge, Standardiser, classes_of
from kertl.probes._depths import Depth, Depths

__all__ = [
    "RIDGE_STRENGTHS",
    "Baseline",
    "Baselines",
    "Depth",
    "Depths",
    "Ridge",
    "Standardiser",
    "baselines",
    "classes_of",
]
