"""`read_profile`: what a profiler saw, in words."""

import dataclasses
import textwrap
from collections import Counter
from pathlib import Path
from typing import ClassVar

from kertl._checks import complain
from kertl.diagnosis._trace import Trace, covered, merged, read_trace, trace_files
from kertl.results import Result

_MOST_LISTED = 8
_MUCH = 0.5


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation that a profiler saw."""

    name: str
    """Its name in the graph of TensorFlow, or what XLA calls it."""
    milliseconds: float
    """How long it runs in a step, all threads together."""


@dataclasses.dataclass(frozen=True, repr=False)
class Profile(Result):
    """Where the time of training steps went.

    Attributes:
        steps: How many steps were seen.
        step_milliseconds: How long one took, from its beginning to that of the next; the profiler itself slows it down.
        input_share: Share of that time in which the model waited for a batch.
        compute_share: Share in which at least one operation of the model ran.
        slowest: The operations that ran longest, the longest first.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("other_share", "sentence")

    steps: int
    step_milliseconds: float
    input_share: float
    compute_share: float
    slowest: tuple[Operation, ...]

    @property
    def other_share(self) -> float:
        """Share in which neither was the case: callbacks, Python, and starting operations."""
        return max(0.0, 1 - self.input_share - self.compute_share)

    @property
    def sentence(self) -> str:
        """The same in words, with what to do."""
        shares = f"{self.input_share:.0%} waiting for input, {self.compute_share:.0%} computing"
        shares += f", {self.other_share:.0%} neither"
        slowest = ", ".join(f"{one.name} {one.milliseconds:.1f} ms" for one in self.slowest[:3])
        told = f"A step took {self.step_milliseconds:.1f} ms: {shares}."
        told += f" The slowest operations are {slowest}." if slowest else ""
        if self.input_share > _MUCH:
            return f"{told} Make the input quicker: train on cached features, or on smaller or decoded images."
        if self.other_share > _MUCH:
            return f"{told} Give each step more to do: a greater batch, or more steps per execution."
        return told

    def table(self) -> str:
        """The sentence and the slowest operations."""
        rows = [f"{one.milliseconds:9.2f} ms  {_end(one.name, 66)}" for one in self.slowest]
        return "\n".join([*textwrap.wrap(self.sentence, width=80), *rows]) + "\n"


def read_profile(source: str | Path) -> Profile:
    """What the last profile in a folder says: how long a step waits for input and computes, and its slowest operations.

    A step waits for input where the next batch is not there yet and no operation of the model runs.

    Args:
        source: A run directory, a folder for TensorBoard, or a file `*.xplane.pb`, with steps that
            `kertl.callbacks.Profiler` marked.

    Raises:
        ValueError: If there is no profile, or no marked step in it.
    """
    place = Path(source)
    file = place if place.is_file() else next(iter(trace_files(place)), None)
    if file is None:
        advice = "Train with `profile=(10, 20)`, or with kertl.callbacks.Profiler."
        raise complain("source", "a folder with a profile", str(source), advice)
    return judged(read_trace(file), str(file))


def judged(trace: Trace, source: str) -> Profile:
    """What a trace says.

    Raises:
        ValueError: If there is no marked step in it.
    """
    steps = sorted(trace.steps, key=lambda one: one.start)
    if not steps:
        raise complain("source", "a profile of steps that kertl.callbacks.Profiler marked", source)
    start, stop = steps[0].start, steps[-1].stop
    computing = merged(trace.operations)
    waiting = merged(trace.inputs)
    both = covered(merged([*trace.operations, *trace.inputs]), start, stop)
    compute = covered(computing, start, stop)
    lengths: Counter[str] = Counter()
    for name, begun, ended in trace.operations:
        lengths[name] += max(0, min(ended, stop) - max(begun, start))
    slowest = [Operation(name, length / 1e9 / len(steps)) for name, length in lengths.most_common(_MOST_LISTED)]
    return Profile(
        steps=len(steps),
        step_milliseconds=(stop - start) / 1e9 / len(steps),
        input_share=(both - compute) / (stop - start) if len(waiting) else 0.0,
        compute_share=compute / (stop - start),
        slowest=tuple(one for one in slowest if one.milliseconds > 0),
    )


def _end(name: str, most: int) -> str:
    """A name, or its end if it is long: layers stand at the end."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
