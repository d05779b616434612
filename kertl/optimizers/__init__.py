"""Optimizers: made by name, with a rate per layer group, and taking over what an earlier one has learnt.

optimizer_named       an optimizer by name, built for some variables
unbuilt               an optimizer by name, not built yet
discriminative        the same, or anybody's, with a learning rate per layer group
discriminative_class  the class that `discriminative` makes from an optimizer's class
carry_moments         the moments of the variables that an earlier optimizer trained
"""

import kertl.schedules  # noqa: F401  whoever loads an optimizer of these may need its schedule
from kertl.optimizers._discriminative import discriminative
from kertl.optimizers._grouped import discriminative_class
from kertl.optimizers._moments import carry_moments
from kertl.optimizers._named import optimizer_named, unbuilt

__all__ = ["carry_moments", "discriminative", "discriminative_class", "optimizer_named", "unbuilt"]
