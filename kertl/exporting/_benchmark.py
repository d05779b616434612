"""`benchmark`: the formats of a model side by side."""

import dataclasses
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from kertl import _checks, hardware
from kertl._checks import complain
from kertl._memory import megabytes
from kertl._runtimes import Runtime
from kertl.errors import ExportError
from kertl.exporting._format import Format
from kertl.exporting._formats import file_name, variants
from kertl.exporting._model_card import check_card, write_card
from kertl.exporting._result import Export
from kertl.exporting._subject import Subject, subject_of
from kertl.exporting._write import check_place, format_named, written
from kertl.results import Result, table_text

_logger = logging.getLogger(__name__)

_LARGE = 32  # images of the larger batch
_SECONDS = 2.0  # of measuring, for each batch size
_FEWEST, _MOST = 3, 50  # runs


@dataclasses.dataclass(frozen=True)
class Measured:
    """One format."""

    format: str
    """Its name."""
    quantize: str | None
    """How it was quantised."""
    export: Export | None
    """The export; None if there is none."""
    note: str
    """Why there is none, or no time."""
    one_ms: float | None = None
    """Milliseconds for a batch of one image, the median."""
    batch_ms: float | None = None
    """Milliseconds for a batch of 32 images, the median."""

    @property
    def images_per_second(self) -> float | None:
        """In batches of 32."""
        return None if self.batch_ms is None else 1000 * _LARGE / self.batch_ms


@dataclasses.dataclass(frozen=True, repr=False)
class Benchmark(Result):
    """The formats of a model side by side.

    Attributes:
        rows: One for each format and quantisation.
        where: The images on which they were compared.
        cores: Processor cores that the runtimes could use.
        processor: The processor.
    """

    rows: tuple[Measured, ...]
    where: str
    cores: int
    processor: str

    def table(self) -> str:
        """A row per format; below it what was not measured, and why."""
        table = Table(box=box.SIMPLE)
        for heading in ("format", "size", "ms, 1 image", "ms, 32 images", "images/s", "difference", "same"):
            table.add_column(heading, justify="left" if heading == "format" else "right", no_wrap=True)
        metric = next((row.export.metric for row in self.rows if row.export and row.export.score is not None), "")
        for heading in (metric, "95 %") if metric else ():
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows:
            if row.export is not None:
                table.add_row(*_cells(row, scored=bool(metric)))
        notes = [f"{_name(row)}: {row.note}\n" for row in self.rows if row.note]
        told = f"{self.where}; {self.cores} cores of {self.processor}; medians, decoding of files not included.\n"
        return table_text(table) + told + "".join(notes)


def benchmark(
    model_or_run: Any,
    *,
    formats: Sequence[str] | None = None,
    data: Any = None,
    out: str | Path | None = None,
    images: int = 1000,
) -> Benchmark:
    """Export a model in several formats, check each, and measure size, latency, throughput and accuracy of each.

    A format that cannot be written here, or whose export disagrees with the model, is in the result with the reason.
    Each runtime may use all cores; the batches are pictures that are decoded already. The Keras model is asked by
    `predict_on_batch`. TensorFlow.js is checked, but not timed, since Node is not a browser.

    Args:
        model_or_run: As in `kertl.export`.
        formats: Such as "onnx" or, quantised, "litert:int8"; None for all.
        data: As in `kertl.export`.
        out: The folder for the exports and their model card; None for `export` in the run directory, or for a model
            that has none, for leaving no files.
        images: As in `kertl.export`.

    Raises:
        RunError: If the run has not finished.
        WeightsError: If the model cannot be loaded, or a weight is NaN or infinite.
        ValueError: If a format is unknown, or an argument is not as described above.

    Example:
        >>> import keras, kertl
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
        >>> model = kertl.model.describe(keras.Sequential(layers), class_names=["cat", "dog"])
        >>> found = kertl.benchmark(model, formats=["keras"])
        >>> found.rows[0].format, found.rows[0].one_ms > 0
        ('keras', True)
    """
    asked = variants() if formats is None else [_variant(one) for one in formats]
    if out is not None:
        check_card(_checks.path("out", out))
    start = time.monotonic()
    subject = subject_of(model_or_run, data, images)
    with ExitStack() as stack:
        if out is None and subject.run_dir is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            folder = Path(out) if out is not None else Path(str(subject.run_dir)) / "export"
            check_card(folder)
        rows = [_measured(subject, folder, name, quantize) for name, quantize in asked]
        exports = [row.export for row in rows if row.export is not None]
        if exports:
            write_card(folder, subject, exports, time.monotonic() - start)
    described = hardware.describe()
    return Benchmark(tuple(rows), subject.where, described["cpus"], described["processor"])


def _variant(text: str) -> tuple[str, str | None]:
    """A format and its quantisation, of "litert:int8"."""
    name, _, quantize = text.partition(":")
    found = (name, quantize or None)
    if found not in variants():
        choices = " or ".join(repr(one if how is None else f"{one}:{how}") for one, how in variants())
        raise complain("formats", f"a list of {choices}", text)
    return found


def _measured(subject: Subject, folder: Path, name: str, quantize: str | None) -> Measured:
    if quantize == "int8" and subject.train is None:
        return Measured(name, quantize, None, "there are no training images to measure activations on; pass `data`")
    try:
        chosen = format_named(name, quantize)
        path = folder / file_name(name, quantize)
        check_place(path, chosen)
        found = written(subject, chosen, path, quantize)
    except ExportError as error:
        return Measured(name, quantize, None, str(error))
    _logger.info("%s is written and agrees with the model.", found.path)
    if chosen.most_checked is not None:
        return Measured(name, quantize, found, "not timed here, since it is made for a browser")
    return Measured(name, quantize, found, "", *_times(subject, chosen, path))


def _times(subject: Subject, export: Format, path: Path) -> tuple[float, float]:
    """Milliseconds for one image, and for 32."""
    run = export.open(path)
    many = np.resize(subject.pictures, (_LARGE, *subject.pictures.shape[1:]))
    return _median_ms(run, many[:1]), _median_ms(run, many)


def _median_ms(run: Runtime, batch: np.ndarray) -> float:
    for _ in range(2):
        run(batch)
    took: list[float] = []
    end = time.monotonic() + _SECONDS
    while len(took) < _FEWEST or (len(took) < _MOST and time.monotonic() < end):
        start = time.perf_counter()
        run(batch)
        took.append(time.perf_counter() - start)
    return 1000 * statistics.median(took)


def _name(row: Measured) -> str:
    return row.format if row.quantize is None else f"{row.format} {row.quantize}"


def _cells(row: Measured, *, scored: bool) -> list[str]:
    found = row.export
    if found is None:
        return []
    times = (row.one_ms, row.batch_ms, row.images_per_second)
    numbers = ["" if value is None else f"{value:.{digits}f}" for value, digits in zip(times, (2, 1, 0), strict=True)]
    cells = [_name(row), megabytes(found.size_bytes), *numbers, f"{found.difference:.1g}"]
    cells.append("" if found.same is None else f"{found.same:.2%}")
    if scored:
        cells.append("" if found.score is None else f"{found.score:.4f}")
        cells.append("" if found.interval is None else f"{found.interval[0]:.3f} to {found.interval[1]:.3f}")
    return cells
