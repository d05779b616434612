"""The exports in a run directory: what they are, with which files that holds, and which answer in the model's place."""

import dataclasses
from pathlib import Path
from typing import Any

from kertl.errors import RunError
from kertl.run_files import MODEL_FILE, read_json, sha256_of, write_json

FOLDER = "export"
"""The folder in a run directory where exports go."""
CARD = "model_card.md"
"""The file beside exports that says what the model is."""
_NOTES = "exports.json"
_FIELDS = {"format": str, "path": str, "deviation": float, "model": str, "files": dict, "contract": dict}


@dataclasses.dataclass(frozen=True)
class NotedExport:
    """An export that was held against the model of its run."""

    format: str
    """Its format."""
    path: str
    """File or folder, in the folder of exports."""
    deviation: float
    """The largest difference from the model, in probability, or in standard deviations of a target."""
    model: str
    """SHA-256 of the model."""
    files: dict[str, str]
    """SHA-256 of each of its files, by name."""
    contract: dict[str, Any]
    """What goes in and what comes out, as `kertl.export` writes it into every export."""
    answers: bool = True
    """Whether it may answer in place of the model."""
    told: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What `kertl.export` said of it."""


def is_home(folder: Path, run_dir: Path | None) -> bool:
    """Whether a folder is where the exports of a run go."""
    return run_dir is not None and folder.resolve() == (run_dir / FOLDER).resolve()


def note_export(run_dir: Path, path: Path, told: dict[str, Any], **known: Any) -> None:
    """Note an export in a run's folder of exports, and that it agrees with the model of the run as it is now.

    Args:
        run_dir: The run directory.
        path: The export.
        told: What `kertl.export` said of it.
        known: The other fields of a `NotedExport`.
    """
    noted = NotedExport(path=path.name, model=sha256_of(run_dir / MODEL_FILE), files=_sums(path), told=told, **known)
    others = [one for one in noted_exports(run_dir) if one.path != noted.path]
    write_json(run_dir / FOLDER / _NOTES, {one.path: dataclasses.asdict(one) for one in (*others, noted)})


def noted_exports(run_dir: Path) -> list[NotedExport]:
    """The exports of a run that were noted.

    Raises:
        RunError: If what was noted cannot be read.
    """
    notes = run_dir / FOLDER / _NOTES
    if not notes.is_file():
        return []
    try:
        # Notes of kertl 0.1 are by format, and only of exports that answer.
        return [_read({"format": name, **dict(one)}) for name, one in dict(read_json(notes)).items()]
    except (OSError, ValueError, TypeError) as error:
        raise RunError(
            f"{str(notes)!r} must say which exports agree with the model. Received: {error}. Remove it, and run "
            "`kertl export` again.",
            code="damaged",
        ) from error


def why_stale(run_dir: Path, noted: NotedExport) -> str:
    """Why what was noted no longer holds: the model or the export has changed since; empty if it does."""
    path = run_dir / FOLDER / noted.path
    model = run_dir / MODEL_FILE
    if not model.is_file() or sha256_of(model) != noted.model:
        return f"{MODEL_FILE} has changed since it was exported"
    if not path.exists():
        return f"{path} is not there"
    return "" if _sums(path) == noted.files else f"{path} has changed since it was checked"


def files_of(run_dir: Path, noted: NotedExport) -> list[tuple[Path, str]]:
    """The files of an export, each with the SHA-256 that was noted."""
    path = run_dir / FOLDER / noted.path
    return [(path / name if name else path, digest) for name, digest in noted.files.items()]


def without_note(run_dir: Path) -> list[str]:
    """Names of what else is in a run's folder of exports, of which no checksum was noted."""
    known = {_NOTES, CARD, *(one.path for one in noted_exports(run_dir))}
    folder = run_dir / FOLDER
    there = (one.name for one in folder.iterdir()) if folder.is_dir() else ()
    return sorted(name for name in there if name not in known and not name.startswith("."))


def _sums(path: Path) -> dict[str, str]:
    """The SHA-256 of each file by its name in the folder; of a file alone the name is empty."""
    if path.is_file():
        return {"": sha256_of(path)}
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {one.relative_to(path).as_posix(): sha256_of(one) for one in files}


def _read(value: Any) -> NotedExport:
    if not isinstance(value, dict) or any(not isinstance(value.get(name), kind) for name, kind in _FIELDS.items()):
        raise ValueError(f"an export without {', '.join(_FIELDS)}")
    own = [Path(name).parts for name in value["files"]]
    if Path(value["path"]).name != value["path"] or any(".." in parts or Path(*parts).is_absolute() for parts in own):
        raise ValueError("an export that is not in the folder")  # whatever a stranger wrote
    names = [field.name for field in dataclasses.fields(NotedExport) if field.name in value]
    return NotedExport(**{name: value[name] for name in names})
