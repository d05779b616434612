"""`verify`: whether the files of a run are as they were written."""

import csv
import dataclasses
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.table import Table

from kertl._terminal import printable
from kertl.errors import RunError
from kertl.inspection._exports import files_of, noted_exports, without_note
from kertl.results import Result, table_text
from kertl.run_files import MODEL_FILE, SUMS, local_run, read_json, read_text, sha256_of

_LARGEST_TABLE = 2**30
_CHECKPOINT = re.compile(r"checkpoint-\d{6,}-([0-9a-f]{16})\.npz")
_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Checked:
    """Files of one kind."""

    what: str
    """Which files."""
    files: int
    """How many were checked."""
    problems: tuple[str, ...]
    """What is wrong, a sentence for each file."""
    note: str = ""
    """Why none were checked, if so."""


@dataclasses.dataclass(frozen=True, repr=False)
class Verification(Result):
    """What `kertl.verify` found.

    Attributes:
        run_dir: The run directory.
        rows: One for each kind of files.
    """

    run_dir: Path
    rows: tuple[Checked, ...]

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong; empty if all is well."""
        return [problem for row in self.rows for problem in row.problems]

    def table(self) -> str:
        """A row per kind of files, and what is wrong."""
        table = Table(box=box.SIMPLE)
        for heading in ("files", "checked", "wrong", ""):
            table.add_column(heading, justify="right" if heading in ("checked", "wrong") else "left")
        for row in self.rows:
            table.add_row(row.what, str(row.files), str(len(row.problems)), row.note)
        shown = [f"{printable(problem)}\n" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            shown.append(f"… and {len(self.problems) - _SHOWN} more, which --json lists\n")
        return table_text(table) + ("".join(shown) or "All of them are as they were written.\n")


def verify(run_dir: str | Path) -> Verification:
    """Check every checksum that a run directory has: results, model, checkpoints, cached features, exports and images.

    Nothing is changed, and no model is built.

    Args:
        run_dir: The directory of a finished run; of one at an address every file is downloaded again.

    Raises:
        RunError: If it is not the directory of a finished run.

    Example:
        >>> import kertl
        >>> kertl.verify("nowhere")
        Traceback (most recent call last):
        kertl.errors.RunError: `run_dir` must be the directory of a finished run, which has a SHA256SUMS. ...
    """
    folder = local_run(run_dir, "run_dir", afresh=True)
    if not (folder / SUMS).is_file():
        raise RunError(
            f"`run_dir` must be the directory of a finished run, which has a {SUMS}. Received: "
            f"run_dir={str(run_dir)!r}. If the run was interrupted, the call or command that began it finishes it.",
            code="run-unfinished",
        )
    kinds = (_results, _archive, _checkpoints, _features, _exports, _images)
    return Verification(folder, tuple(kind(folder) for kind in kinds))


def _results(folder: Path) -> Checked:
    try:
        lines = [line.split("  ", 1) for line in read_text(folder / SUMS).splitlines()]
        told = {name: digest for digest, name in lines}
    except (OSError, ValueError) as error:
        return Checked("results", 0, (f"{SUMS} cannot be read: {error}",))
    # Only names of files in the directory, whatever a stranger wrote.
    wrong = [f"{SUMS} names {name!r}, which is not a file of the run" for name in told if Path(name).name != name]
    own = {name: digest for name, digest in told.items() if Path(name).name == name}
    return Checked("results", len(own), (*wrong, *_differing((folder / name, digest) for name, digest in own.items())))


def _archive(folder: Path) -> Checked:
    """Each part of the model's archive has a checksum of its own; a model that is not there is among the results."""
    if not (folder / MODEL_FILE).is_file():
        return Checked("parts of the model", 0, ())
    try:
        with zipfile.ZipFile(folder / MODEL_FILE) as archive:
            broken, count = archive.testzip(), len(archive.namelist())
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        return Checked("parts of the model", 0, (f"{MODEL_FILE} cannot be read: {error}",))
    wrong = (f"{broken!r} in {MODEL_FILE} is damaged",) if broken else ()
    return Checked("parts of the model", count, wrong)


def _checkpoints(folder: Path) -> Checked:
    files = [
        (path, found[1]) for path in (folder / "checkpoints").glob("*") if (found := _CHECKPOINT.fullmatch(path.name))
    ]
    return Checked("checkpoints", len(files), tuple(_differing(files)))


def _features(folder: Path) -> Checked:
    pairs, wrong = [], []
    for manifest in sorted((folder / "features").glob("*/*.json")):
        try:
            pairs.append((manifest.with_suffix(".npy"), str(read_json(manifest, 2**30)["sha256"])))
        except (OSError, ValueError, LookupError, TypeError) as error:
            wrong.append(f"{manifest} cannot be read: {error}")
    return Checked("cached features", len(pairs), (*wrong, *_differing(pairs)))


def _exports(folder: Path) -> Checked:
    try:
        pairs = [pair for noted in noted_exports(folder) for pair in files_of(folder, noted)]
        others = without_note(folder)
    except RunError as error:
        return Checked("exports", 0, (error.message,))
    note = f"not checked, since no checksum was noted: {', '.join(others)}" if others else ""
    return Checked("exports", len(pairs), tuple(_differing(pairs)), note)


def _images(folder: Path) -> Checked:
    try:
        root = read_json(folder / "environment.json").get("images")
        text = read_text(folder / "data.csv", _LARGEST_TABLE)
        rows = [(row["file"], row["sha256"]) for row in csv.DictReader(io.StringIO(text, newline=""))]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        return Checked("images", 0, (f"data.csv or environment.json cannot be read: {error}",))
    if root is None:
        return Checked("images", 0, (), "the run does not say where they are, or they were in memory")
    if not Path(root).is_dir():
        return Checked("images", 0, (), f"{root!r} is not there")
    return Checked("images", len(rows), tuple(_differing((Path(root) / file, digest) for file, digest in rows)))


def _differing(files: Iterator[tuple[Path, str]] | list[tuple[Path, str]]) -> Iterator[str]:
    """A sentence for each file whose checksum does not begin as it should, or that cannot be read."""
    for path, told in files:
        if not path.is_file():  # also a device, which may have no end
            yield f"{path} is not there"
            continue
        try:
            found = sha256_of(path)
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror or error}"
            continue
        if not told or not found.startswith(told):
            yield f"{path} has the SHA-256 {found}, not {told}"
