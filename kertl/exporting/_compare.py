"""Whether an export says what the model says."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from kertl.data._readers import FileReader
from kertl.errors import ExportError
from kertl.exporting._format import Format
from kertl.exporting._subject import Subject
from kertl.quantization import STEP, Exact
from kertl.tasks import change_interval, mean_interval

# The largest difference that an export in float32 may have, in probability, or in standard deviations of a target.
_FLOAT = 1e-3
# Of a quantised one: the least share of decisions that must be the model's, and for regressions the largest mean
# difference, in standard deviations of a target.
_QUANTISED = {"float16": (0.98, 0.01), "dynamic": (0.8, 0.2), "int8": (0.8, 0.2)}
# Of one that was trained for 8 bits: the least share of outputs within one step, and how many steps none may exceed.
_WITHIN_ONE, _MOST_STEPS = 0.999, 2
# Where an export decodes files itself, pixels differ by the rounding of two decoders.
_FILES = 0.1
_SOME_FILES = 16
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was found; the fields are those of `Export`."""

    images: int
    difference: float
    same: float | None
    files_difference: float | None
    within_one_step: float | None
    scores: dict[str, Any]
    deviation: float
    """The largest difference in the unit that is judged: in probability, or in standard deviations of a target."""


def compare(subject: Subject, export: Format, path: Path, quantize: str | None, *, trained: bool = False) -> Comparison:
    """Load an export in its own runtime, ask it about the images, and hold it against the model.

    Args:
        subject: The model and the images.
        export: The format.
        path: The export.
        quantize: How it was quantised.
        trained: Whether it has the ranges of a model that was trained for 8 bits, and must say what that says.

    Raises:
        ExportError: If it disagrees.
    """
    pictures = subject.pictures[: export.most_checked]
    expected = subject.predictions[: len(pictures)]
    run = export.open(path)
    size = subject.contract["input"]["shape"][0] or min(_BATCH, len(pictures))
    starts = range(0, len(pictures), size)
    found = np.concatenate([run(_batch(pictures, at, size, whole=subject.fixed_batch)) for at in starts])
    found = found[: len(pictures)]
    if found.shape != expected.shape or not np.isfinite(found).all():
        raise _disagrees(
            subject, f"predictions of shape {found.shape} that are not all finite numbers of {expected.shape}"
        )
    scale = _scale(subject)
    difference = float(np.abs(found - expected).max())
    same = _same(subject, found, expected)
    deviation = float((np.abs(found - expected) / scale).max())
    if quantize is None:
        if deviation > _FLOAT:
            raise _disagrees(subject, f"a difference of {difference:.2g}")
    else:
        least, most = _QUANTISED[quantize]
        if same is not None and same < least:
            raise _disagrees(subject, f"{same:.1%} of the same decisions, fewer than {least:.0%}", quantize)
        if same is None and (np.abs(found - expected) / scale).mean() > most:
            raise _disagrees(subject, f"a mean difference above {most:.0%} of a standard deviation", quantize)
    within = _within_one_step(subject, pictures, found) if trained else None
    whole = export.most_checked is None
    files = _by_files(subject, export, path, scale) if whole else None
    scores = _scores(subject, found) if whole else {}
    return Comparison(len(pictures), difference, same, files, within, scores, deviation)


def _batch(pictures: np.ndarray, start: int, size: int, *, whole: bool) -> np.ndarray:
    """Pictures from `start` on; to make a last batch whole, its last picture is repeated."""
    batch = pictures[start : start + size]
    return np.concatenate([batch, *[batch[-1:]] * (size - len(batch))]) if whole else batch


def _within_one_step(subject: Subject, pictures: np.ndarray, found: np.ndarray) -> float:
    """Share of the outputs that differ by at most one step from those of the network that was trained for 8 bits."""
    exact = Exact(subject.rounded)
    expected = np.concatenate([exact(pictures[at : at + _BATCH]) for at in range(0, len(pictures), _BATCH)])
    steps = np.rint(np.abs(found - expected) / STEP)
    within = float((steps <= 1).mean())
    if within < _WITHIN_ONE or steps.max() > _MOST_STEPS:
        told = f"{within:.2%} of the outputs within one step of 8 bits of the network as it was trained, and up to "
        raise _disagrees(subject, f"{told}{steps.max():.0f} steps", "int8")
    return within


def _scale(subject: Subject) -> np.ndarray | float:
    """In which unit differences are judged."""
    if subject.task.output_of != "target":
        return 1.0
    deviations = subject.predictions.std(axis=0)
    return np.where(deviations > 0, deviations, np.maximum(np.abs(subject.predictions).max(axis=0), 1e-6))


def _same(subject: Subject, found: np.ndarray, expected: np.ndarray) -> float | None:
    before, after = (subject.task.decisions(one, subject.thresholds) for one in (expected, found))
    return None if before is None or after is None else float((before == after).mean())


def _scores(subject: Subject, found: np.ndarray) -> dict[str, Any]:
    """The score of an export, and its change, where the images have labels."""
    if subject.truth is None:
        return {}
    before, after = (
        subject.task.scores(subject.truth, one, subject.thresholds) for one in (subject.predictions, found)
    )
    return {
        "model_score": float(before.mean()),
        "score": float(after.mean()),
        "interval": mean_interval(after),
        "change": float(after.mean() - before.mean()),
        "change_interval": change_interval(before, after),
    }


def _by_files(subject: Subject, export: Format, path: Path, scale: np.ndarray | float) -> float | None:
    """The largest difference where the export decodes some of the image files itself; None if it does not."""
    reader = None if subject.images is None else subject.images.reader
    if not isinstance(reader, FileReader):
        return None
    files = [file.path for file in reader.files if Path(file.path).suffix.lower() in (".jpg", ".jpeg", ".png")]
    found = export.also_checked(path, files[:_SOME_FILES]) if files else None
    if found is None:
        return None
    rows = [number for number, file in enumerate(reader.files) if file.path in files[:_SOME_FILES]]
    differences = np.abs(found - subject.predictions[rows[:_SOME_FILES]])
    if (differences / scale).max() > _FILES:
        raise _disagrees(
            subject,
            f"a difference of {float(differences.max()):.2g} where it decodes the files itself",
            advice=" Two decoders differ by a rounding, mostly at most 2 of 255 in a pixel; a model whose answers "
            "change with that is not reliable for these images. The other formats take pixels.",
        )
    return float(differences.max())


def _disagrees(subject: Subject, what: str, quantize: str | None = None, advice: str = "") -> ExportError:
    advice = {
        "int8": " Try quantize='dynamic' or 'float16'; some architectures lose too much in 8 bits without training.",
        "dynamic": " Try quantize='float16'.",
    }.get(quantize or "", advice)
    return ExportError(
        f"The export must say what {subject.model.name!r} says. Received: {what}, on {subject.where}. Nothing was "
        f"written.{advice}",
        code="export-differs",
    )
