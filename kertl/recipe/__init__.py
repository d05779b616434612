"""What a run needs to be repeated: stages one after the other, each a boundary, a schedule and a length.

Only dataclasses, to and from JSON; a script writes the same objects that the command line fills and that are saved with
the results. Their docstrings are the one text about their fields: `help` and the command line show it.
"""

from kertl.recipe._recipe import NAMED, PRECISIONS, PRESETS, Recipe, check_minutes, named_recipe, recipe_of
from kertl.recipe._stage import LOSSES, OPTIMIZERS, SCHEDULES, SOLVERS, Stage

__all__ = [
    "LOSSES",
    "NAMED",
    "OPTIMIZERS",
    "PRECISIONS",
    "PRESETS",
    "SCHEDULES",
    "SOLVERS",
    "Recipe",
    "Stage",
    "check_minutes",
    "named_recipe",
    "recipe_of",
]
