"""What `kertl.export` found of an export."""

import dataclasses
from pathlib import Path

from rich import box
from rich.table import Table

from kertl._memory import megabytes
from kertl.results import Result, table_text


@dataclasses.dataclass(frozen=True, repr=False)
class Export(Result):
    """An export that was loaded again in its own runtime and agrees with the model.

    Attributes:
        path: The file or folder.
        format: Its format.
        quantize: How it was quantised; None if it was not.
        size_bytes: Its size, that of a folder with all in it.
        images: On how many images it was compared with the model.
        where: Which images these are; "noise" if there were none.
        difference: The largest difference of a prediction from the model's.
        same: Share of the predictions that decide alike (the same class, or the same yes or no); None for regressions.
        files_difference: The same as `difference` where the export decodes the image files itself; None if it does not.
        metric: What `score` is: "accuracy" (higher is better) or "mae" (lower is better).
        model_score: The model's own score on the images; None if these are without labels, or noise.
        score: The export's.
        interval: 95 % interval of `score`.
        change: `score` minus `model_score`.
        change_interval: 95 % interval of `change`, from the same images.
        within_one_step: Of a model that was trained for 8 bits, the share of outputs that differ by at most one step
            from what it was trained to say; else None.
    """

    path: Path
    format: str
    quantize: str | None
    size_bytes: int
    images: int
    where: str
    difference: float
    same: float | None
    files_difference: float | None
    metric: str
    model_score: float | None = None
    score: float | None = None
    interval: tuple[float, float] | None = None
    change: float | None = None
    change_interval: tuple[float, float] | None = None
    within_one_step: float | None = None

    @property
    def worse(self) -> bool:
        """Whether its score is worse than the model's by more than chance, at 95 %."""
        if self.change_interval is None:
            return False
        low, high = self.change_interval
        return low > 0 if self.metric == "mae" else high < 0

    def change_told(self) -> str:
        """The change of the score, for people."""
        return f"{self.metric} {self.change or 0:+.4f}, {between(self.change_interval, '+')}"

    def table(self) -> str:
        """Everything, a line each."""
        table = Table(box=box.SIMPLE, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        kind = self.format if self.quantize is None else f"{self.format}, {self.quantize}"
        table.add_row("export", f"{self.path} ({kind}), {megabytes(self.size_bytes)}")
        table.add_row("compared on", self.where)
        table.add_row("largest difference", f"{self.difference:.2g}")
        if self.same is not None:
            table.add_row("same decision", f"{self.same:.2%}")
        if self.within_one_step is not None:
            table.add_row("within one step", f"{self.within_one_step:.2%} of the outputs, of 8 bits as trained")
        if self.files_difference is not None:
            table.add_row("from image files", f"largest difference {self.files_difference:.2g}")
        if self.score is not None:
            table.add_row(self.metric, f"{self.score:.4f}, {between(self.interval)}; the model: {self.model_score:.4f}")
            table.add_row("change", self.change_told())
        return table_text(table)


def between(interval: tuple[float, float] | None, sign: str = "") -> str:
    """A 95 % interval for people."""
    return "" if interval is None else f"95 % between {interval[0]:{sign}.4f} and {interval[1]:{sign}.4f}"
