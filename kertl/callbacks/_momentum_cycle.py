"""The momentum of a one-cycle schedule: down while the learning rate rises, and up again.

Keras keeps the momentum as a Python number that is built into the compiled train step. Here it is computed from the
optimizer's step count within the step itself, so that it is a function of the step alone, on every backend, and a
resumed run continues it; outside of the step the optimizer is unchanged.
"""

from typing import Any

import keras

from kertl._checks import complain, number
from kertl._keras import steps_taken
from kertl.schedules import OneCycle

_NAMES = ("momentum", "beta_1", "adam_beta_1")


class MomentumCycle(keras.callbacks.Callback):
    """Lets the momentum fall from `high` to `low` while the rate rises to its peak, and rise to `high` after it.

    It is `beta_1` of Adam, its relatives and Lion, `momentum` of SGD and RMSprop, and both of Muon. Adam's correction
    of its moments' bias takes the momentum of the step, as PyTorch's does. The train step is compiled again at the
    beginning and after the end of `fit`; if an exception ends `fit`, compile the model with a new optimizer.

    Args:
        schedule: The schedule of the learning rate, or any `OneCycle` whose course in steps the momentum follows.
        high: Momentum at the beginning and at the end; 0 < high < 1.
        low: Momentum at the peak; 0 < low <= high.

    Raises:
        ValueError: If an argument is out of range; when training begins, if the optimizer has no momentum.

    Example:
        >>> import kertl
        >>> cycle = kertl.callbacks.MomentumCycle(kertl.schedules.OneCycle(peak=1e-3, total_steps=100))
        >>> [round(float(cycle.momentum(step)), 3) for step in (0, 15, 30, 65, 100)]
        [0.95, 0.9, 0.85, 0.9, 0.95]

    Reference:
        Smith, "A disciplined approach to neural network hyper-parameters: Part 1", 2018, section 4.3.
        https://arxiv.org/abs/1803.09820. The course along cosines, and the bounds, are fastai's choice.
    """

    def __init__(self, schedule: OneCycle, *, high: float = 0.95, low: float = 0.85) -> None:
        super().__init__()
        if not isinstance(schedule, OneCycle):
            raise complain("schedule", "a kertl.schedules.OneCycle", schedule)
        self.schedule = schedule
        self.high = number("high", high, above=0, below=1)
        self.low = number("low", low, above=0, at_most=high)
        self._optimizer: Any = None

    def momentum(self, step: Any) -> Any:
        """The momentum at an optimizer step, a scalar tensor."""
        return self.schedule.along(step, self.high, self.low, self.high)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Have the train step made again, with the momentum of the step."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        own = {name: value for name in _NAMES if isinstance(value := getattr(optimizer, name, None), float) and value}
        if not own or isinstance(optimizer, keras.optimizers.ScheduleFreeAdamW):
            accepted = "one with a momentum above 0, or a `beta_1` that is one"
            raise complain("optimizer", accepted, type(optimizer).__name__, "SGD(momentum=0.9), say.")
        vars(optimizer).pop("apply", None)  # of a `fit` that ended by an exception
        steps = steps_taken(optimizer)  # the variable itself: within a step each variable may have a count of its own
        apply, cycled = optimizer.apply, _OfStep(lambda: self.momentum(steps), self.high)

        def apply_cycled(grads: Any, trainable_variables: Any = None) -> None:
            # Past the optimizer's own `__setattr__`, which would count `cycled` among its variables.
            vars(optimizer).update(dict.fromkeys(own, cycled))
            try:
                apply(grads, trainable_variables)
            finally:
                vars(optimizer).update(own)

        vars(optimizer)["apply"] = apply_cycled
        self._optimizer = optimizer
        self.model.make_train_function(force=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the optimizer."""
        vars(self._optimizer).pop("apply", None)
        self.model.train_function = None


class _OfStep(keras.Variable):
    """A number above 0 that is computed wherever it is read."""

    def __init__(self, compute: Any, initial: float) -> None:
        super().__init__(initial, dtype="float32", trainable=False)
        self._compute = compute

    @property
    def value(self) -> Any:
        return self._compute()

    def __ne__(self, other: object) -> bool:
        return True  # for optimizers that ask whether there is momentum

    def __gt__(self, other: object) -> bool:
        return True

    __hash__ = keras.Variable.__hash__
