"""`predict_to_file`: predictions for any number of images, in a file, resumable."""

import contextlib
import csv
import importlib.util
import io
import itertools
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from kertl import _checks
from kertl._checks import complain, integer
from kertl._terminal import tracked
from kertl._transformations import checked_augment
from kertl.data._scan import bombs_refused
from kertl.errors import DataError, RunError
from kertl.evaluation._answers import answers
from kertl.evaluation._caution import Caution
from kertl.evaluation._form import check_asked, images_for
from kertl.evaluation._made import is_finished, say_finished, write_noted
from kertl.evaluation._plan import check_plan, digest_of, files_once, of_shard, plan_of
from kertl.evaluation._predict import asked, preprocessed, refuse_broken
from kertl.model import task_of
from kertl.run_files import read_text, write_text
from kertl.tasks import Task, task_named

if TYPE_CHECKING:
    import keras

    from kertl.data._streamed import FileBatches

_logger = logging.getLogger(__name__)

SUFFIXES = (".csv", ".parquet")
_CHUNK = 256  # images of a part, which is what a kill may cost
_LARGEST_PART = 2**30


def predict_to_file(
    model: "keras.Model",
    paths: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    top: int = 3,
    shard: tuple[int, int] | None = None,
    batch_size: int = 32,
    views: int = 0,
    augment: Any = "light",
    seed: int = 0,
    preprocessing: "str | keras.layers.Layer | None" = None,
    caution: Caution | None = None,
) -> int:
    """Predict on image files, or all those in folders, and write a row for each into a file.

    Rows are written part by part beside the file, each as a whole; the same call again goes on after the last part, and
    the file is there when all of them are. Beside it NAME.made.json says what made it: the same call then does nothing,
    and another one is refused. A file that cannot be read has a row with the reason in the column `error`. Memory does
    not grow with the number of images.

    Args:
        model: A model that takes pictures of one size.
        paths: One or several files or folders.
        out: A .csv or .parquet file; the latter takes pyarrow. The columns are `file`, those of the task (see
            `kertl.tasks.Task.cells`) and `error`.
        top: How many classes to name for a single label; >= 1.
        shard: `(k, n)`: only the files of share k of n, 1 <= k <= n. A file's share follows from its name alone, so
            that n machines do all files once. NAME.made.json says what it is a share of, for `join_predictions`.
        batch_size: Images per batch; >= 1.
        views: As in `kertl.predict`, like the other three.
        augment: How these versions vary.
        seed: Their seed.
        preprocessing: For a model from elsewhere, what its pixels went through before it.
        caution: When to abstain, and sets of classes, as `cautious` chooses them; the columns `abstains` and `set`.

    Returns:
        How many rows the file has.

    Raises:
        DataError: If there is no file to predict on.
        RunError: If a file cannot be written, or the file or the parts that are there are of another model, other
            images or options.
        WeightsError: If a weight of the model is NaN or infinite.
        ValueError: If an argument is not as described.
    """
    check_asked(model)
    out = check_out(out)
    integer("top", top, at_least=1)
    checked_augment(augment)
    given = _checks.paths("paths", paths)
    every = files_once(given)
    files = of_shard(every, shard)
    if not files:
        raise DataError(
            f"There must be a file to predict on. Received: none in {[str(path) for path in given]}.", code="no-images"
        )
    parts = out.with_name(f"{out.name}.parts")
    ready = preprocessed(model, preprocessing, given, None, views)
    refuse_broken(ready)
    options = {"views": views, "augment": augment, "seed": seed}
    plan = plan_of(model, files, top=top, shard=shard, preprocessing=preprocessing, caution=caution, **options)
    note: dict[str, Any] = {**plan, "rows": len(files)}
    if shard is not None:
        note |= {"of": len(every), "names": digest_of(sorted(Path(file).name for file in every))}

    def rows_of(images: "FileBatches", chunk: Sequence[str]) -> list[dict[str, str]]:
        return _rows(model, images, chunk, top, lambda images: asked(ready, images, **options)[0], caution)

    if is_finished(out, plan):
        say_finished(out, len(files))
    else:
        with _alone(parts):
            if not is_finished(out, plan):  # by another process in the meantime
                check_plan(parts, plan)
                chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
                _write_parts(model, chunks, parts, batch_size, rows_of)
                _join([_part(parts, number) for number in range(len(chunks))], out, task_named(task_of(model)), note)
    _discard(parts)
    return len(files)


def _discard(parts: Path) -> None:
    """Remove the parts; away first, so that no half of them is ever taken for those of another call."""
    done_with = parts.with_name(f"{parts.name}.done")
    shutil.rmtree(done_with, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        parts.rename(done_with)
    shutil.rmtree(done_with, ignore_errors=True)


def _write_parts(
    model: "keras.Model",
    chunks: Sequence[Sequence[str]],
    parts: Path,
    batch_size: int,
    rows_of: Callable[["FileBatches", Sequence[str]], list[dict[str, str]]],
) -> None:
    """Write the parts that are not there yet."""
    count = sum(map(len, chunks))
    _logger.info("Predicting on %d images; what is done is in %s, %d at a time.", count, parts, _CHUNK)
    todo = [number for number in range(len(chunks)) if not _part(parts, number).exists()]
    done = len(chunks) - len(todo)
    if done:
        _logger.info("%d of %d parts are there already.", done, len(chunks))
    many = _ahead(images_for(model, chunks[number], batch_size=batch_size, strict=False) for number in todo)
    try:
        with bombs_refused():
            for number in tracked(todo, f"Predicting on {count:,} images", len(todo), "part"):
                write_text(_part(parts, number), _as_csv(rows_of(next(many), chunks[number])))
                done += 1
    except KeyboardInterrupt:
        _logger.warning("%d of %d parts are in %s; the same call goes on after them.", done, len(chunks), parts)
        raise


def check_out(out: str | Path) -> Path:
    """The file to write, if its kind can be written.

    Raises:
        ValueError: If not.
    """
    out = _checks.path("out", out, "a file")
    if out.suffix not in SUFFIXES:
        raise complain("out", f"a file that ends in {' or '.join(SUFFIXES)}", str(out))
    if out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise complain("out", "a .csv file where pyarrow is not installed", str(out), "pip install 'kertl[parquet]'.")
    return out


def _ahead(many: "Iterator[FileBatches]") -> "Iterator[FileBatches]":
    """The images of one part after another; those of the next are decoded already while one is written."""
    for images, following in itertools.pairwise(itertools.chain(many, [None])):
        if following is not None:
            following.start()
        if images is not None:
            yield images


@contextlib.contextmanager
def _alone(parts: Path) -> Iterator[None]:
    """Keep others from the folder of the parts.

    Raises:
        RunError: If another process writes there.
    """
    parts.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(parts / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise RunError(
            f"`out` must be written by one process at a time. Received: {str(parts)!r}, in use by another one. Wait "
            "for it, or choose another file.",
            code="run-in-use",
        ) from error


def _rows(
    model: "keras.Model",
    images: "FileBatches",
    files: Sequence[str],
    top: int,
    ask: Callable[["FileBatches"], np.ndarray],
    caution: Caution | None,
) -> list[dict[str, str]]:
    """A row for each file, in the order of the files."""
    task = task_named(task_of(model))

    def cells(predictions: np.ndarray) -> list[dict[str, str]]:
        doubts = [{}] * len(predictions) if caution is None else caution.doubts(predictions)
        told = answers(model, predictions, top=top)
        return [{**task.cells(answer), **Caution.cells(doubt)} for answer, doubt in zip(told, doubts, strict=True)]

    try:
        said = ask(images)
    except DataError:
        if images.files:
            raise
        said = np.zeros((0, model.output_shape[-1]))  # none of these files can be read
    found = dict(zip(images.files, cells(said), strict=True)) if len(said) else {}
    reasons = {issue.path: issue.reason for issue in images.issues}
    blank = dict.fromkeys(cells(np.zeros((1, model.output_shape[-1])))[0], "")
    return [{"file": file, **found.get(file, blank), "error": reasons.get(file, "")} for file in files]


def _as_csv(rows: Sequence[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06}.csv"


def _join(parts: Sequence[Path], out: Path, task: Task, note: dict[str, Any]) -> None:
    """The parts in one file, which is there as a whole, and the note about it."""

    def as_csv(beside: Path) -> None:
        with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            for number, part in enumerate(parts):
                file.writelines(itertools.islice(_lines(part), 1 if number else 0, None))

    def as_parquet(beside: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        writer = None
        for part in parts:
            rows = list(csv.DictReader(_lines(part)))
            numbers = {name for name in rows[0] if _holds_numbers(name, task)}
            columns = {name: [_typed(row[name], name in numbers) for row in rows] for name in rows[0]}
            kinds = [(name, pa.float64() if name in numbers else pa.string()) for name in columns]
            table = pa.table(columns, schema=pa.schema(kinds))
            writer = writer or pyarrow.parquet.ParquetWriter(beside, table.schema)
            writer.write_table(table)
        assert writer is not None
        writer.close()

    write_noted(out, as_parquet if out.suffix == ".parquet" else as_csv, note)


def _lines(part: Path) -> Iterator[str]:
    return iter(io.StringIO(read_text(part, _LARGEST_PART), newline=""))


def _holds_numbers(name: str, task: Task) -> bool:
    """Whether a column has one number a row; the probabilities of several labels are a list."""
    probability = name == "probability" or name.startswith("probability_")
    return probability or (task.output_of == "target" and name not in ("file", "error"))


def _typed(text: str, number: bool) -> Any:
    if not text:
        return None
    return float(text) if number else text
