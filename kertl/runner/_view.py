"""What a stage shows while it trains: its epochs with their metrics, the best so far, and the time left."""

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import keras
from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kertl._terminal import CONSOLE, shown, span

_ROWS = 12  # epochs of the table
_METRICS = 5  # what fits into 80 columns
_QUIET_SECONDS = 60.0  # after which a line says where a long epoch is


class StageView(keras.callbacks.Callback):
    """Shows the epochs of a stage: on a terminal a table that grows, elsewhere a line for each. Enter it around `fit`.

    Args:
        title: What the stage is called.
        first: How many epochs of the run came before the stage.
        epochs: How many epochs it has at most.
        steps: How often an epoch calls back with the end of a batch.
        monitor: The metric that chooses its weights; lower is better.
        past: Its epochs from before it was interrupted.
        lines: Whether to write lines on a terminal too.
    """

    def __init__(
        self,
        title: str,
        *,
        first: int,
        epochs: int,
        steps: int,
        monitor: str,
        past: Sequence[Mapping[str, Any]] = (),
        lines: bool = False,
    ) -> None:
        super().__init__()
        self._title, self._first, self._epochs, self._steps, self._monitor = title, first, epochs, steps, monitor
        self._rows = [{**row, "epoch": row["epoch"] - first} for row in past]
        self._before, self._batch = len(past), 0
        self._begun = self._epoch_begun = self._said = time.monotonic()
        self._live = (
            None
            if lines or not shown("auto") or not CONSOLE.file.isatty()
            else Live(get_renderable=self.table, console=CONSOLE)
        )

    def __enter__(self) -> "StageView":
        self._begun = time.monotonic()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note when it began."""
        self._batch, self._epoch_begun = 0, time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count it; in a long epoch a line says how far it is."""
        self._batch += 1
        if self._live is None and time.monotonic() - self._said > _QUIET_SECONDS:
            self._say(f"{self._where()}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add its metrics."""
        metrics = {name: float(value) for name, value in (logs or {}).items() if name != "learning_rate"}
        taken = time.monotonic() - self._epoch_begun
        self._rows.append({"epoch": epoch + 1 - self._first, "time": span(taken), **metrics})
        self._batch = 0
        if self._live is None:
            self._say(self.line())

    def table(self) -> RenderableType:
        """The last epochs, below what the stage is and how long it may take."""
        names, best = self._names(), self._best()
        where = Text(self._where(), style="bold")
        if not self._rows:
            return where
        table = Table(box=box.SIMPLE)
        for heading in ("epoch", *(name.replace("_", " ") for name in names), "time", ""):
            table.add_column(heading, justify="left" if heading == "" else "right")
        for row in self._rows[-_ROWS:]:
            values = [f"{row[name]:.4f}" if name in row else "" for name in names]
            table.add_row(str(row["epoch"]), *values, row.get("time", ""), "best" if row is best else "")
        return Group(where, table)

    def line(self) -> str:
        """The last epoch."""
        row, best = self._rows[-1], self._best()
        told = ", ".join(f"{name} {row[name]:.4f}" for name in self._names() if name in row)
        lowest = f"; best in epoch {best['epoch']}" if best is not None and best is not row else ""
        return f"{self._title}, epoch {row['epoch']} of {self._epochs}: {told}{lowest}{self._left()}."

    def _where(self) -> str:
        """Which epoch and batch it is at, and about how long the rest takes."""
        epoch = min(len(self._rows) + 1, self._epochs)
        batch = f", batch {self._batch:,} of {self._steps:,}" if self._batch and self._steps > 1 else ""
        return f"{self._title}, epoch {epoch} of {self._epochs}{batch}{self._left()}"

    def _left(self) -> str:
        done = len(self._rows) - self._before + self._batch / max(self._steps, 1)
        rest = self._epochs - self._before - done
        if done <= 0 or rest <= 0:
            return ""
        return f", about {span((time.monotonic() - self._begun) / done * rest)} left"

    def _names(self) -> list[str]:
        """The metrics that are shown: losses first, then each with that of the validation set."""
        found = [name for row in self._rows[-1:] for name, value in row.items() if isinstance(value, float)]
        plain = [name for name in found if not name.startswith("val_") and name != "learning_rate"]
        pairs = [name for one in sorted(plain, key=lambda one: one != "loss") for name in (one, f"val_{one}")]
        return [name for name in pairs if name in found][:_METRICS]

    def _best(self) -> Mapping[str, Any] | None:
        """The epoch with the lowest value of what chooses; the first of several."""
        rows = [row for row in self._rows if math.isfinite(row.get(self._monitor, math.nan))]
        return min(rows, key=lambda row: row[self._monitor], default=None)

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        CONSOLE.print(text, markup=False, highlight=False, soft_wrap=True)
