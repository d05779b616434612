"""Which layer groups a quantisation to 8 bits hurts."""

import dataclasses
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from kertl.exporting._subject import subject_of
from kertl.quantization import each_group_rounded, mixed_network, predicted
from kertl.results import Result, table_text


@dataclasses.dataclass(frozen=True)
class GroupSensitivity:
    """What 8 bits in one layer group do to the predictions."""

    group: str
    """Its name, as `float_groups` takes it; "all" for the whole model."""
    difference: float
    """The mean absolute difference of the predictions from those in float."""
    same: float | None
    """The share of the predictions that decide alike."""


@dataclasses.dataclass(frozen=True, repr=False)
class Sensitivity(Result):
    """What `kertl.exporting.sensitivity` found.

    Attributes:
        images: On how many training images.
        groups: Each group alone in 8 bits, the most sensitive first; after them "all".
    """

    images: int
    groups: tuple[GroupSensitivity, ...]

    def table(self) -> str:
        """A line for each group."""
        table = Table(box=box.SIMPLE)
        table.add_column("in 8 bits")
        table.add_column("mean difference", justify="right")
        table.add_column("same decision", justify="right")
        for one in self.groups:
            table.add_row(one.group, f"{one.difference:.4f}", "" if one.same is None else f"{one.same:.2%}")
        return table_text(table) + f"\n{self.images} training images; each group alone, the others in float.\n"


def sensitivity(model_or_run: Any, *, data: Any = None) -> Sensitivity:
    """Which layer groups lose most in 8 bits: one at a time is rounded as an export in 8 bits does it.

    The groups at the top are those to leave in float with `kertl.export(..., quantize="int8", float_groups=[...])`.
    Ranges are measured, and predictions compared, on at most 128 training images, so that no test image chooses.

    Args:
        model_or_run: As in `kertl.export`.
        data: As in `kertl.export`; its training images are used.

    Raises:
        ValueError: If there are no training images, or the model has layers that are not rounded here.
        RunError: If the run has not finished.
        WeightsError: If the model cannot be loaded, or a weight is NaN or infinite.

    Example:
        >>> import keras, kertl, numpy as np
        >>> from kertl.exporting import sensitivity
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> model = kertl.build("MobileNetV2", class_names=data.class_names, weights=None, input_shape=(32, 32, 3))
        >>> found = sensitivity(model, data=data)
        >>> found.images, found.groups[-1].group
        (12, 'all')
    """
    subject = subject_of(model_or_run, data)
    samples = subject.samples()
    plain = np.asarray(subject.model.predict(samples, verbose=0))
    decided = subject.task.decisions(plain, subject.thresholds)

    def judged(name: str, found: np.ndarray) -> GroupSensitivity:
        now = subject.task.decisions(found, subject.thresholds)
        same = None if decided is None or now is None else float((decided == now).mean())
        return GroupSensitivity(name, float(np.abs(found - plain).mean()), same)

    alone = [judged(name, found) for name, found in each_group_rounded(subject.model, samples).items()]
    whole = judged("all", predicted(mixed_network(subject.model, (), samples), samples))
    return Sensitivity(len(samples), (*sorted(alone, key=lambda one: -one.difference), whole))
