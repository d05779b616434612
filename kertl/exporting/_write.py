"""Writing an export next to its place, checking it there, and moving it only then."""

import copy
import logging
import secrets
import shutil
import tempfile
from pathlib import Path

from kertl._checks import complain, one_of
from kertl._runtimes import OPENERS
from kertl.errors import ExportError, KertlError
from kertl.exporting._compare import compare
from kertl.exporting._format import Format
from kertl.exporting._formats import FORMATS
from kertl.exporting._result import Export
from kertl.exporting._subject import Subject
from kertl.inspection import is_home, note_export

_logger = logging.getLogger(__name__)


def format_named(name: str, quantize: str | None) -> Format:
    """The format of that name, if it can be written here.

    Raises:
        ExportError: If a package or program is missing; the message names it.
        ValueError: If there is no such format, or it is not quantised so.
    """
    found = FORMATS[one_of("format", name, FORMATS)]
    if quantize is not None and quantize not in found.quantizations:
        choices = " or ".join(repr(one) for one in (None, *found.quantizations))
        others = " and ".join(repr(one.name) for one in FORMATS.values() if one.quantizations)
        raise complain("quantize", f"{choices} for the format {name!r}", quantize, f"{others} are quantised.")
    if obstacle := found.obstacle(quantize):
        raise ExportError(f"The format {name!r} cannot be written here: {obstacle}.")
    return found


def check_place(path: Path, export: Format) -> None:
    """Raise if an export cannot go to a path.

    Raises:
        ValueError: If its name does not end as the format's, or something else is there.
    """
    if export.suffix and path.suffix != export.suffix:
        raise complain("path", f"a file name that ends in {export.suffix!r} for {export.name!r}", str(path))
    if not export.suffix and path.suffix in {one.suffix for one in FORMATS.values()} - {""}:
        raise complain("path", f"a folder for {export.name!r}, whose name does not end as a file's", str(path))
    if path.exists() and not export.is_there(path):
        raise complain("path", "new, or an export of the same kind, which is replaced", str(path))


def written(subject: Subject, export: Format, path: Path, quantize: str | None) -> Export:
    """Write an export, load it again, compare it with the model, and put it in its place.

    Raises:
        ExportError: If it cannot be written or loaded, or disagrees; nothing is left of it.
    """
    trained = quantize == "int8" and export.trained_ranges and subject.rounded is not None
    samples = subject.samples() if quantize == "int8" and not trained else None
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".partial-") as folder:
        beside = Path(folder) / path.name
        try:
            if not export.suffix:
                beside.mkdir()
            export.write(subject.model, beside, copy.deepcopy(subject.contract), quantize, samples)
            found = compare(subject, export, beside, quantize, trained=trained)
        except KertlError:
            raise
        except Exception as error:
            raise ExportError(
                f"{subject.model.name!r} cannot be exported as {export.name!r}: {_first_words(error)} "
                "Nothing was written."
            ) from error
        size = size_of(beside)
        _move(beside, path)
    told = Export(
        path,
        export.name,
        quantize,
        size,
        found.images,
        subject.where if export.most_checked is None else f"{found.images} of {subject.where}",
        found.difference,
        found.same,
        found.files_difference,
        subject.task.score,
        within_one_step=found.within_one_step,
        **found.scores,
    )
    if is_home(path.parent, subject.run_dir) and subject.is_of_run:
        known = {"format": export.name, "contract": subject.contract, "deviation": found.deviation}
        note_export(Path(str(subject.run_dir)), path, told.to_dict(), answers=_may_answer(subject, told), **known)
    if told.worse:
        _logger.warning("%s is worse than the model by more than chance: %s", path, told.change_told())
    return told


def _may_answer(subject: Subject, export: Export) -> bool:
    """Whether an export may answer in place of its model: in float32, for any batch, compared on real images."""
    return (
        export.format in OPENERS and export.quantize is None and subject.images is not None and not subject.fixed_batch
    )


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def _move(beside: Path, path: Path) -> None:
    """Put a file or folder in its place; a folder that was there is moved away first and then removed."""
    if path.is_dir():
        away = path.with_name(f".partial-{secrets.token_hex(8)}")
        path.rename(away)
        beside.rename(path)
        shutil.rmtree(away)
    else:
        beside.replace(path)


def _first_words(error: Exception) -> str:
    """The first lines of an error of a converter, whose whole text may be pages."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:400]}{'…' if len(text) > 400 else ''}."
