"""Do a recipe, a model and data go together? What clashes, why, and what to do, before anything is trained."""

from kertl.compatibility._check import Finding, Findings, check
from kertl.compatibility._pixels import times_as_wide
from kertl.compatibility._requirements import REQUIREMENTS, Requirement, require
from kertl.compatibility._rules import RULES, Rule, matrix

__all__ = [
    "REQUIREMENTS",
    "RULES",
    "Finding",
    "Findings",
    "Requirement",
    "Rule",
    "check",
    "matrix",
    "require",
    "times_as_wide",
]
