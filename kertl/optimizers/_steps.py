"""How many steps each variable has been trained for, independent of the schedule's progress.

Adam and its relatives divide their moments by `1 - beta^t`, which makes up for moments that begin at zero. Moments that
are carried into a new optimizer do not begin at zero: corrected with its step count they make the first steps too
short, 0.30 of the rate over the first ten. So each variable's own count is carried along with its moments, while the
schedule begins anew.
"""

from typing import Any

import keras

from kertl._keras import MOMENTUM_PRODUCT, STEPS, place_of, steps_taken, trained_count


def count_by_variable(optimizer: keras.optimizers.Optimizer) -> Any:
    """Make a built optimizer correct the bias of each variable's moments by the steps of that variable.

    Its class, its configuration and its schedule do not change. A second call changes nothing.

    Args:
        optimizer: One that has been built, without a loss scale around it.

    Returns:
        The optimizer's variable, of shape `(variables,)`, with the steps that each was trained for before.

    Reference:
        Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, section 3. https://arxiv.org/abs/1412.6980
    """
    if hasattr(optimizer, "steps_before"):
        return optimizer.steps_before
    count = trained_count(optimizer)
    optimizer.steps_before = optimizer.add_variable(
        (count,), dtype="int32", aggregation="only_first_replica", name="steps_before"
    )
    plain_step, own = optimizer.update_step, vars(optimizer)
    nadam = isinstance(optimizer, keras.optimizers.Nadam)

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        """The step of the class, which sees the variable's own count."""
        before, counted = optimizer.steps_before[place_of(optimizer, variable)], steps_taken(optimizer)
        steps = counted + keras.ops.cast(before, counted.dtype)
        seen = {STEPS: steps}
        if nadam:
            seen[MOMENTUM_PRODUCT] = _momentum_product(optimizer, steps + 1)
        kept = {name: own[name] for name in seen}
        own.update(seen)  # past the optimizer's own `__setattr__`, which would track them
        try:
            plain_step(gradient, variable, learning_rate)
        finally:
            own.update(kept)

    own["update_step"] = update_step
    return optimizer.steps_before


def begin_schedule_again(optimizer: keras.optimizers.Optimizer) -> None:
    """Set the step count of an optimizer to zero, without any effect on its moments."""
    before = count_by_variable(optimizer)
    before.assign(before + keras.ops.cast(steps_taken(optimizer), before.dtype))
    steps_taken(optimizer).assign(0)


def _momentum_product(optimizer: Any, step: Any) -> Any:
    """The product of Nadam's momenta from step 1 to `step`, which Keras keeps for all variables together.

    Each is `beta_1 * (1 - 0.96^i / 2)`; from the 500th on the bracket is 1 to the last digit.
    """
    places = keras.ops.arange(1, 501, dtype="float32")
    step = keras.ops.cast(step, "float32")
    brackets = keras.ops.where(places <= step, 1.0 - 0.5 * keras.ops.power(0.96, places), 1.0)
    return keras.ops.power(optimizer.beta_1, step) * keras.ops.prod(brackets)
