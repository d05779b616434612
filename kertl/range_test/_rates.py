"""Control of an optimizer's learning rates, whatever sets them otherwise."""

from typing import Any

import keras

from kertl._keras import learning_rate_of, put_learning_rate


class Rates:
    """The learning rate of an optimizer, or of all those inside it, as one number that can be set.

    Keras refuses to set the rate of an optimizer that has a schedule; instead of a schedule it gets its own variable,
    since everything that is not among its variables is a constant to a compiled step of JAX.

    Attributes:
        replaced: Whether a schedule was replaced.

    Args:
        optimizer: One that is built. The optimizers of a `MultiOptimizer` keep the ratio of their rates; the highest is
            set.
    """

    def __init__(self, optimizer: Any) -> None:
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        parts = [part for part in getattr(inner, "optimizers", [inner]) if part.built]
        rates = [float(keras.ops.convert_to_numpy(part.learning_rate)) for part in parts]
        highest = max(rates)
        self._shares = [(part, rate / highest if highest else 1.0) for part, rate in zip(parts, rates, strict=True)]
        self._replaced = [
            (part, learning_rate_of(part)) for part in parts if not isinstance(learning_rate_of(part), keras.Variable)
        ]
        self.replaced = bool(self._replaced)
        for part, _ in self._replaced:
            rate = part.add_variable((), aggregation="only_first_replica", name="range_test_rate")
            put_learning_rate(part, rate)

    def set(self, rate: float) -> None:
        """Set the rate."""
        for part, share in self._shares:
            learning_rate_of(part).assign(rate * share)

    def give_back(self) -> None:
        """Put the schedules back; a rate without one is a variable like all others."""
        for part, schedule in self._replaced:
            part.learning_rate = schedule  # which also makes the optimizer forget the variable
