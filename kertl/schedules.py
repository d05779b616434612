"""Learning-rate schedules: the rate as a function of the optimizer's step."""

import math
from typing import Any

import keras

from kertl._checks import integer, number, one_of


@keras.saving.register_keras_serializable(package="kertl")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up from `peak / start_divisor` to `peak` along half a cosine, then down to `peak / end_divisor` along another.

    Args:
        peak: Highest learning rate, reached at step `warmup_fraction * total_steps`; > 0.
        total_steps: Length of the schedule in optimizer steps (not epochs); >= 1. The rate stays at its end behind it.
        warmup_fraction: Share of the steps on the way up; 0 <= fraction < 1.
        start_divisor: `peak` over the first rate; >= 1.
        end_divisor: `peak` over the last rate; >= 1.

    Raises:
        ValueError: If an argument is outside the range given above.

    Example:
        >>> import kertl
        >>> schedule = kertl.schedules.OneCycle(peak=1e-3, total_steps=1000)
        >>> [round(float(schedule(step)), 6) for step in (0, 300, 1000)]
        [4e-05, 0.001, 0.0]

    Reference:
        Smith & Topin, "Super-Convergence", 2018. https://arxiv.org/abs/1708.07120. Cosines in the place of straight
        lines, and the divisors, are fastai's choice.
    """

    def __init__(
        self,
        peak: float,
        total_steps: int,
        *,
        warmup_fraction: float = 0.3,
        start_divisor: float = 25.0,
        end_divisor: float = 1e5,
    ) -> None:
        super().__init__()
        self.peak = number("peak", peak, above=0)
        self.total_steps = integer("total_steps", total_steps, at_least=1)
        self.warmup_fraction = number("warmup_fraction", warmup_fraction, at_least=0, below=1)
        self.start_divisor = number("start_divisor", start_divisor, at_least=1)
        self.end_divisor = number("end_divisor", end_divisor, at_least=1)

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`, a scalar tensor."""
        ops = keras.ops
        done = ops.minimum(ops.cast(step, "float32") / self.total_steps, 1.0)
        top = self.warmup_fraction
        rising = _half_cosine(self.peak / self.start_divisor, self.peak, done / max(top, 1e-9))
        falling = _half_cosine(self.peak, self.peak / self.end_divisor, (done - top) / (1 - top))
        return ops.where(done < top, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_fraction": self.warmup_fraction,
            "start_divisor": self.start_divisor,
            "end_divisor": self.end_divisor,
        }


def schedule_named(name: str, peak: float, total_steps: int) -> Any:
    """The schedule that a stage names: a Keras schedule, or the rate itself where it is constant.

    Args:
        name: "one_cycle", "cosine" or "constant".
        peak: Highest learning rate; > 0.
        total_steps: Length in optimizer steps; >= 1.

    Raises:
        ValueError: If the name is none of these.
    """
    one_of("schedule", name, ("one_cycle", "cosine", "constant"))
    if name == "one_cycle":
        return OneCycle(peak, total_steps)
    if name == "cosine":
        return keras.optimizers.schedules.CosineDecay(peak, decay_steps=total_steps)
    return peak


def _half_cosine(start: float, end: float, share: Any) -> Any:
    return end + (start - end) / 2 * (1 + keras.ops.cos(math.pi * share))
