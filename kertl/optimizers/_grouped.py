"""Optimizers in which each layer group trains as with its own optimizer at the group's rate.

One optimizer, not one per group, so that step count, global norm, average of the weights, accumulation of gradients
and `learning_rate` stay one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kertl._checks import complain
from kertl._keras import steps_all_at_once

# These leave the steps to other optimizers.
MANY_STEPS = (keras.optimizers.LossScaleOptimizer, keras.optimizers.MultiOptimizer)


class Grouped(keras.optimizers.Optimizer):
    """A mix-in that comes before an optimizer class, Keras' own or any other.

    Everything that depends on a variable is stored by its index among the trained variables: paths and ids change when
    a model is saved and loaded.

    Args:
        *args: For the next class.
        group_multipliers: Each group's name and its rate as a multiple of `learning_rate`.
        variable_groups: The group of each trained variable, in the order in which the optimizer is built for them.
        undecayed: Indices of the variables that weight decay leaves out.
        **kwargs: For the next class.
    """

    def __init__(
        self,
        *args: Any,
        group_multipliers: Mapping[str, float],
        variable_groups: Sequence[str],
        undecayed: Sequence[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.group_multipliers = dict(group_multipliers)
        self._variable_groups, self._undecayed = tuple(variable_groups), tuple(undecayed)
        self._decaying = 1.0

    def build(self, variables: Sequence[Any]) -> None:
        """Make the moments, for as many variables as there are groups given."""
        if self.built:
            return
        if len(variables) != len(self._variable_groups):
            accepted = f"the {len(self._variable_groups)} that the rates are for"
            advice = "When other variables are to be trained, make a new optimizer."
            raise complain("variables", accepted, len(variables), advice)
        super().build(variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """The step of the next class, at the group's rate."""
        super().update_step(gradient, variable, keras.ops.multiply(learning_rate, self._multiplier(variable)))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            **super().get_config(),
            "group_multipliers": dict(self.group_multipliers),
            "variable_groups": list(self._variable_groups),
            "undecayed": list(self._undecayed),
        }

    def _multiplier(self, variable: Any) -> float:
        return self.group_multipliers[self._variable_groups[self._get_variable_index(variable)]]

    def _use_weight_decay(self, variable: Any) -> bool:
        return self._get_variable_index(variable) not in self._undecayed and super()._use_weight_decay(variable)

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Have Keras, or the class, decay one group after the other, each seeing its own rate as the learning rate."""
        decayed = [variable for variable in variables if self._use_weight_decay(variable)]
        try:
            for multiplier in dict.fromkeys(map(self._multiplier, decayed)):
                self._decaying = multiplier
                super()._apply_weight_decay([one for one in decayed if self._multiplier(one) == multiplier])
        finally:
            self._decaying = 1.0

    def _get_current_learning_rate(self) -> Any:
        rate = super()._get_current_learning_rate()
        return rate if self._decaying == 1 else keras.ops.multiply(rate, self._decaying)


def plain_class(optimizer: keras.optimizers.Optimizer) -> type[keras.optimizers.Optimizer]:
    """The class of an optimizer without rates per group, and without what Keras puts over it on PyTorch.

    Keras' own classes for PyTorch take all variables at once, and pass `update_step` over.
    """
    return next(
        kind
        for kind in type(optimizer).__mro__
        if issubclass(kind, keras.optimizers.Optimizer)
        and not issubclass(kind, Grouped)
        and not steps_all_at_once(kind)
    )


_MADE: dict[Any, Any] = {}


def discriminative_class(kind: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """The class that `discriminative` makes from an optimizer's class, registered with Keras' serialisation.

    For Keras' classes `import kertl.optimizers` does that. Call this function with any other class before you load a
    model that was compiled with an optimizer made from it.

    Args:
        kind: A class of optimizers whose `update_step` uses its argument `learning_rate`.

    Example:
        >>> import keras
        >>> from kertl.optimizers import discriminative_class
        >>> class Plain(keras.optimizers.SGD):
        ...     pass
        >>> discriminative_class(Plain).__name__
        'DiscriminativePlain'
    """
    if kind not in _MADE:
        made = type(f"Discriminative{kind.__name__}", (Grouped, kind), {"__doc__": f"{kind.__name__}, rates by group."})
        name = keras.saving.get_registered_name(kind)
        if ">" not in name and not kind.__module__.startswith("keras."):
            name = f"{kind.__module__}>{name}"  # a custom "SGD" must not replace Keras'
        register = keras.saving.register_keras_serializable(package="kertl", name=f"Discriminative{name}")
        _MADE[kind] = register(made)
    return _MADE[kind]


def _makes_steps(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer) and not issubclass(kind, MANY_STEPS)


for _kind in filter(_makes_steps, vars(keras.optimizers).values()):
    discriminative_class(_kind)
