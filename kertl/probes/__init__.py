"""What frozen features are worth before anything is trained: classical classifiers at every depth of a backbone."""

from kertl.probes._baselines import Baseline, Baselines, baselines
from kertl.probes._classifiers import Ridge, classes_of

__all__ = ["Baseline", "Baselines", "Ridge", "baselines", "classes_of"]
