"""Learning-rate schedules: the rate as a function of the optimizer's step."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain, integer, number, one_of

__all__ = [
    "Cyclical",
    "Join",
    "OneCycle",
    "SlantedTriangular",
    "plot",
    "schedule_named",
]


@keras.saving.register_keras_serializable(package="kertl")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Up from `peak / start_divisor` to `peak` along half a cosine, then down to `peak / end_divisor` along another.

    Args:
        peak: Highest learning rate, reached at step `warmup_fraction * total_steps`; > 0.
        total_steps: Length of the schedule in optimizer steps (not epochs); >= 1. The rate stays at its end after it.
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
        Smith & Topin, "Super-Convergence", 2018. https://arxiv.org/abs/1708.07120. Cosines instead of straight
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
        return self.along(step, self.peak / self.start_divisor, self.peak, self.peak / self.end_divisor)

    def along(self, step: Any, start: float, turn: float, end: float) -> Any:
        """What goes from `start` to `turn` while the rate rises, and on to `end` while it falls, at `step`."""
        ops = keras.ops
        done = ops.minimum(ops.cast(step, "float32") / self.total_steps, 1.0)
        top = self.warmup_fraction
        rising = _half_cosine(start, turn, done / max(top, 1e-9))
        falling = _half_cosine(turn, end, (done - top) / (1 - top))
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


@keras.saving.register_keras_serializable(package="kertl")
class Cyclical(keras.optimizers.schedules.LearningRateSchedule):
    """Up from `base` to `peak` and down again along straight lines, again and again.

    Args:
        base: Lowest learning rate; > 0.
        peak: Highest learning rate of the first cycle; > base.
        half_cycle: Steps from the lowest rate to the highest, which need not be a whole number; >= 1.
        mode: "triangular": each cycle reaches the peak; "triangular2": each reaches half as far above `base` as the
            previous one; "exp_range": the part above `base` shrinks by `gamma` with every step.
        gamma: For "exp_range"; 0 < gamma <= 1.

    Raises:
        ValueError: If an argument is outside the range given above.

    Example:
        >>> import kertl
        >>> schedule = kertl.schedules.Cyclical(0.1, 0.5, half_cycle=2, mode="triangular2")
        >>> [round(float(schedule(step)), 3) for step in (0, 1, 2, 4, 6)]
        [0.1, 0.3, 0.5, 0.1, 0.3]

    Reference:
        Smith, "Cyclical Learning Rates for Training Neural Networks", 2017. https://arxiv.org/abs/1506.01186
    """

    def __init__(
        self, base: float, peak: float, half_cycle: float, *, mode: str = "triangular", gamma: float = 0.9999
    ) -> None:
        super().__init__()
        self.base = number("base", base, above=0)
        self.peak = number("peak", peak, above=base)
        self.half_cycle = number("half_cycle", half_cycle, at_least=1)
        self.mode = one_of("mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = number("gamma", gamma, above=0, at_most=1)

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`, a scalar tensor."""
        ops = keras.ops
        step = ops.cast(step, "float32")
        cycle = ops.floor(step / (2 * self.half_cycle))
        height = 1 - ops.abs(step / self.half_cycle - 2 * cycle - 1)
        if self.mode == "triangular2":
            height = height * 0.5**cycle
        elif self.mode == "exp_range":
            height = height * self.gamma**step
        return self.base + (self.peak - self.base) * height

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "base": self.base,
            "peak": self.peak,
            "half_cycle": self.half_cycle,
            "mode": self.mode,
            "gamma": self.gamma,
        }


@keras.saving.register_keras_serializable(package="kertl")
class SlantedTriangular(keras.optimizers.schedules.LearningRateSchedule):
    """A short straight way up to `peak`, and a long one down, both from and to `peak / ratio`.

    Args:
        peak: Highest learning rate; > 0.
        total_steps: Length in optimizer steps; >= 2. The rate stays at its end after it.
        warmup_fraction: Share of the steps on the way up; 0 < fraction < 1.
        ratio: `peak` over the lowest rate; >= 1.

    Raises:
        ValueError: If an argument is outside the range given above.

    Example:
        >>> import kertl
        >>> schedule = kertl.schedules.SlantedTriangular(0.32, total_steps=100)
        >>> [round(float(schedule(step)), 3) for step in (0, 10, 55, 100)]
        [0.01, 0.32, 0.165, 0.01]

    Reference:
        Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, equation 3.
        https://arxiv.org/abs/1801.06146
    """

    def __init__(self, peak: float, total_steps: int, *, warmup_fraction: float = 0.1, ratio: float = 32.0) -> None:
        super().__init__()
        self.peak = number("peak", peak, above=0)
        self.total_steps = integer("total_steps", total_steps, at_least=2)
        self.warmup_fraction = number("warmup_fraction", warmup_fraction, above=0, below=1)
        self.ratio = number("ratio", ratio, at_least=1)

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`, a scalar tensor."""
        ops = keras.ops
        top = max(1, math.floor(self.total_steps * self.warmup_fraction))
        step = ops.minimum(ops.cast(step, "float32"), float(self.total_steps))
        height = ops.minimum(step / top, (self.total_steps - step) / (self.total_steps - top))
        return self.peak * (1 + height * (self.ratio - 1)) / self.ratio

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_fraction": self.warmup_fraction,
            "ratio": self.ratio,
        }


@keras.saving.register_keras_serializable(package="kertl")
class Join(keras.optimizers.schedules.LearningRateSchedule):
    """Schedules one after the other, each counting its steps from 0.

    Args:
        schedules: Keras or kertl schedules, or numbers for constant rates; at least one.
        lengths: Steps of each schedule, >= 1, except the last, which never ends.

    Raises:
        ValueError: If there is not exactly one length fewer than schedules, or an argument is out of range.

    Example:
        >>> import keras, kertl
        >>> schedule = kertl.schedules.Join([0.01, keras.optimizers.schedules.CosineDecay(0.1, 50)], lengths=[10])
        >>> [round(float(schedule(step)), 3) for step in (0, 9, 10, 35, 60)]
        [0.01, 0.01, 0.1, 0.05, 0.0]
    """

    def __init__(self, schedules: Sequence[Any], lengths: Sequence[int]) -> None:
        super().__init__()
        kind = keras.optimizers.schedules.LearningRateSchedule
        if not schedules or len(lengths) != len(schedules) - 1:
            raise complain("lengths", "one less than `schedules`", list(lengths), f"There are {len(schedules)}.")
        self.schedules = [one if isinstance(one, kind) else number("schedules", one, above=0) for one in schedules]
        self.lengths = [integer("lengths", length, at_least=1) for length in lengths]

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`, a scalar tensor."""
        ops = keras.ops
        step, begin = ops.cast(step, "float32"), 0
        rate = self._rate(0, step)
        for place, length in enumerate(self.lengths, start=1):
            begin += length
            rate = ops.where(step < begin, rate, self._rate(place, ops.maximum(step - begin, 0.0)))
        return rate

    def _rate(self, place: int, step: Any) -> Any:
        ops, one = keras.ops, self.schedules[place]
        return ops.cast(one(step), "float32") if callable(one) else ops.convert_to_tensor(one, "float32")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        described = [keras.saving.serialize_keras_object(one) if callable(one) else one for one in self.schedules]
        return {"schedules": described, "lengths": self.lengths}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Join":
        """The schedule from what `get_config` gave."""
        made = [
            keras.saving.deserialize_keras_object(one) if isinstance(one, dict) else one for one in config["schedules"]
        ]
        return cls(made, config["lengths"])


def plot(schedule: Any, total_steps: int, path: str | Path | None = None) -> Any:
    """Draw any Keras schedule.

    Args:
        schedule: A schedule of Keras or of this module.
        total_steps: Optimizer steps to draw; >= 1.
        path: A picture file to write, such as a PNG; its suffix decides the format.

    Returns:
        The matplotlib figure, which a notebook shows.

    Example:
        >>> import kertl
        >>> kertl.schedules.plot(kertl.schedules.OneCycle(1e-3, 1000), 1000).axes[0].get_ylabel()
        'learning rate'
    """
    from matplotlib.figure import Figure

    integer("total_steps", total_steps, at_least=1)
    steps = np.unique(np.linspace(0, total_steps, min(total_steps, 2000) + 1).astype(int))
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(steps, [float(schedule(step)) for step in steps], color="#0072B2")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("learning rate")
    axes.set_title(type(schedule).__name__, loc="left")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def schedule_named(name: str, peak: float, total_steps: int) -> Any:
    """The schedule that a stage names: a Keras schedule, or the rate itself if it is constant.

    Args:
        name: "one_cycle", "cosine", "warmup_cosine", "cosine_restarts", "step", "triangular", "slanted_triangular" or
            "constant", as `kertl.Stage` has them.
        peak: Highest learning rate; > 0.
        total_steps: Length in optimizer steps; >= 1. One or two steps are taken at the peak.

    Raises:
        ValueError: If the name is none of these.
    """
    one_of("schedule", name, _NAMED)
    if total_steps <= _FEWEST_STEPS:  # what rises first would not reach its peak
        return peak if name == "constant" else Join([peak], [])
    return _NAMED[name](peak, total_steps)


def _warmup_cosine(peak: float, total_steps: int) -> Any:
    warmup = max(1, total_steps // 10)
    return keras.optimizers.schedules.CosineDecay(
        peak / 25, max(1, total_steps - warmup), warmup_target=peak, warmup_steps=warmup
    )


def _step(peak: float, total_steps: int) -> Any:
    # Keras' boundaries are the last steps before a change.
    half, three_quarters = total_steps // 2 - 1, total_steps * 3 // 4 - 1
    boundaries = [max(0, half), max(1, three_quarters)]
    return keras.optimizers.schedules.PiecewiseConstantDecay(boundaries, [peak, peak / 10, peak / 100])


_FEWEST_STEPS = 2
# What each name stands for, given the highest rate and the number of steps; Keras' own if it has one.
_NAMED: dict[str, Callable[[float, int], Any]] = {
    "one_cycle": OneCycle,
    "cosine": keras.optimizers.schedules.CosineDecay,
    "warmup_cosine": _warmup_cosine,
    # 1 + 2 + 4 parts
    "cosine_restarts": lambda peak, steps: keras.optimizers.schedules.CosineDecayRestarts(peak, max(1, steps / 7)),
    "step": _step,
    # from a quarter, as in Smith; four cycles, fewer if they had less than two steps each
    "triangular": lambda peak, steps: Cyclical(peak / 4, peak, half_cycle=steps / 2 / min(4, steps // 2)),
    "slanted_triangular": SlantedTriangular,
    "constant": lambda peak, steps: peak,
}


def _half_cosine(start: float, end: float, share: Any) -> Any:
    return end + (start - end) / 2 * (1 + keras.ops.cos(math.pi * share))
