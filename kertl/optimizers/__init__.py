"""Optimizers: made by name, with a rate per layer group, and taking over what an earlier one has learnt.

optimizer_named       an optimizer by name, built for some variables
unbuilt               an optimizer by name, not built yet
discriminative        the same, or any optimizer, with a learning rate per layer group
discriminative_class  the class that `discriminative` makes from an optimizer's class
carry_moments         the moments of the variables that an earlier optimizer trained
count_by_variable     bias corrections by the steps of each variable, whatever the schedule does
begin_schedule_again  a step count of zero for the schedule, with the moments kept
"""

import kertl.schedules  # noqa: F401  whoever loads an optimizer of these may need its schedule
from kertl.optimizers._discriminative import discriminative
from kertl.optimizers._grouped import discriminative_class
from kertl.optimizers._moments import carry_moments
from kertl.optimizers._named import optimizer_named, unbuilt
from kertl.optimizers._steps import begin_schedule_again, count_by_variable

__all__ = [
    "begin_schedule_again",
    "carry_moments",
    "count_by_variable",
    "discriminative",
    "discriminative_class",
    "optimizer_named",
    "unbuilt",
]
