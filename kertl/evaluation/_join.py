"""`join_predictions`: the shares of `predict_to_file` in one file, refused if an image is missing or there twice."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kertl import _checks
from kertl._checks import complain
from kertl.errors import RunError
from kertl.evaluation._made import is_finished, note_of, read_note, say_finished, write_noted

_SAME = ("of", "names", "model", "description", "top", "options")
"""What the notes of all shares of one job have in common; `shard` and `rows` are a share's own."""


def join_predictions(shares: Sequence[str | Path], out: str | Path) -> int:
    """Join the files that `predict_to_file` wrote for the shares of one job; memory holds the names of the files only.

    Args:
        shares: The files, in the order in which their rows shall come. Beside each must be its note, NAME.made.json.
        out: The file to write, with the ending that the shares have. If it was joined from these shares before, it is
            left as it is.

    Returns:
        How many rows it has: one for each image of the job.

    Raises:
        RunError: If the shares are of different jobs, one is missing or given twice, or a file does not hold the rows
            that its note says, each image once; if another call made `out`. Nothing is written then.
        ValueError: If there is no share, or endings differ.
    """
    return joined(_checks.paths("shares", shares, "a list of files"), _checks.path("out", out, "a file"))


def joined(files: Sequence[Path], out: Path, plan: dict[str, Any] | None = None) -> int:
    """See `join_predictions`; the plan is what is noted to have made the file, by default its shares."""
    if not files or {file.suffix for file in files} - {out.suffix} or out.suffix not in (".csv", ".parquet"):
        raise complain(
            "shares", f"files that all end in .csv or .parquet, as `out` {out.name!r} does", list(map(str, files))
        )
    notes = [_note(file) for file in files]
    rows = _rows_of_one_job(files, notes)
    if plan is None:
        shared = {name: notes[0][name] for name in _SAME}
        plan = {**shared, "files": [note["files"] for note in notes], "joined": [note["shard"] for note in notes]}
    if is_finished(out, plan):
        say_finished(out, rows)
        return rows
    seen: set[str] = set()
    for file, note in zip(files, notes, strict=True):
        before = len(seen)
        for name in _names(file):
            if name in seen:
                raise _refuse(f"have each image once. Received: {name!r} a second time in {file}")
            seen.add(name)
        if len(seen) - before != note["rows"]:
            raise _refuse(f"have the rows noted. Received: {len(seen) - before} of {note['rows']} in {file}")
    join = _join_csv if out.suffix == ".csv" else _join_parquet
    write_noted(out, lambda beside: join(files, beside), {**plan, "rows": rows})
    return rows


def _rows_of_one_job(files: Sequence[Path], notes: Sequence[dict[str, Any]]) -> int:
    """How many rows shares have together, if they are all those of one job."""
    for name in _SAME:
        other = next((at for at, note in enumerate(notes) if note[name] != notes[0][name]), None)
        if other is not None:
            raise _refuse(f"be of one job. Received: {name!r} of {files[other]} differs from that of {files[0]}")
    numbers = [tuple(note["shard"]) for note in notes]
    if len({count for _, count in numbers}) > 1 or len(set(numbers)) < len(numbers):
        raise _refuse(f"be each share once. Received: {_listed(numbers)}")
    rows, expected = sum(note["rows"] for note in notes), notes[0]["of"]
    if rows != expected:
        absent = [(k, numbers[0][1]) for k in range(1, numbers[0][1] + 1) if (k, numbers[0][1]) not in numbers]
        raise _refuse(
            f"have all {expected:,} images of the job. Received: {rows:,} of them; not given: {_listed(absent)}"
        )
    return int(rows)


def _note(share: Path) -> dict[str, Any]:
    place = note_of(share)
    if not share.is_file() or not place.is_file():
        missing = share if not share.is_file() else place
        raise _refuse(f"be there with their notes. Received: no {str(missing)!r}")
    note = read_note(share)
    if not {"shard", "rows", "files", *_SAME} <= note.keys():
        raise _refuse(f"have the notes that `kertl predict --shard` writes. Received: another {str(place)!r}")
    return note


def _refuse(what: str) -> RunError:
    return RunError(
        f"The shares to join must {what}. Finish the shares of this job, and give each of them once.",
        code="run-differs",
    )


def _listed(numbers: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{number}/{count}" for number, count in numbers) or "none"


def _names(share: Path) -> Iterator[str]:
    """The image of each row."""
    if share.suffix == ".csv":
        with share.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield from (row["file"] for row in csv.DictReader(file))
        return
    import pyarrow.parquet

    for batch in pyarrow.parquet.ParquetFile(share).iter_batches(columns=["file"]):
        yield from batch.column(0).to_pylist()


def _join_csv(shares: Sequence[Path], out: Path) -> None:
    with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as joined:
        for number, share in enumerate(shares):
            with share.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                header = file.readline()
                joined.write("" if number else header)
                joined.writelines(file)


def _join_parquet(shares: Sequence[Path], out: Path) -> None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(out, pyarrow.parquet.read_schema(shares[0])) as joined:
        for share in shares:
            for batch in pyarrow.parquet.ParquetFile(share).iter_batches():
                joined.write_batch(batch)
