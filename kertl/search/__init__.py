"""Search: KerasTuner's tuners over the choices of transfer learning, on features extracted once."""

from kertl.search._candidate import Candidate
from kertl.search._hypermodel import TransferHyperModel
from kertl.search._importance import Importance
from kertl.search._oracles import STRATEGIES
from kertl.search._result import RECIPE, SETTINGS, SearchResult, Trial, confirmation, described, read
from kertl.search._space import default_space
from kertl.search._tune import tune

__all__ = [
    "RECIPE",
    "SETTINGS",
    "STRATEGIES",
    "Candidate",
    "Importance",
    "SearchResult",
    "TransferHyperModel",
    "Trial",
    "confirmation",
    "default_space",
    "described",
    "read",
    "tune",
]
