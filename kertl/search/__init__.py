"""Search: KerasTuner's tuners over the choices of transfer learning, on features extracted once."""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
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

# The names that each module defines.
_HOMES = {
    "._candidate": ("Candidate",),
    "._hypermodel": ("TransferHyperModel",),
    "._importance": ("Importance",),
    "._oracles": ("STRATEGIES",),
    "._result": ("RECIPE", "SETTINGS", "SearchResult", "Trial", "confirmation", "described", "read"),
    "._space": ("default_space",),
    "._tune": ("tune",),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)
