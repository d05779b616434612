"""A bar with images per second and the time left, on stderr, for work that takes more than a moment."""

import time
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from kertl._terminal import CONSOLE, Pulse, shown

_PATIENCE_SECONDS = 0.5


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "")


class Progress:
    """Shows how many images are done, from half a second on; where there is no bar, a line now and then.

    Args:
        total: Images to do.
        verbose: Whether to show anything; "auto" on a terminal and in a notebook.
    """

    def __init__(self, total: int, verbose: str | bool) -> None:
        self._shown = shown(verbose)
        self._started = time.monotonic()
        self._done, self._total = 0, total
        self._bar: Bar | None = None
        self._pulse = Pulse("Extracting features", total, "image") if verbose and not self._shown else None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, count: int) -> None:
        """Count so many more images as done."""
        self._done += count
        if self._pulse is not None:
            self._pulse.beat(self._done)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        elif self._shown and time.monotonic() - self._started > _PATIENCE_SECONDS:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed())
            self._bar = Bar(*columns, TimeRemainingColumn(), console=CONSOLE, transient=True)
            self._task = self._bar.add_task("Extracting features", total=self._total, completed=self._done)
            self._bar.start()
