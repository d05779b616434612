"""What a run is computed with: written when it begins, compared when it resumes, and none of it ever lost."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kertl import hardware
from kertl.run_files import read_json, write_json

_logger = logging.getLogger(__name__)

ENVIRONMENT = "environment.json"
_COMPARED = ("python", "platform", "processor", "cpus", "backend", "devices", "replicas", "workers")
"""What the last digits of a sum may depend on, besides the versions of packages."""


def note_environment(folder: Path, *, workers: int, images: str | None, resumes: bool) -> None:
    """Write what the run is computed with; where a run resumes with something else, say what and keep what was there.

    Args:
        folder: The run directory.
        workers: How many processes train.
        images: The folder of the images, if they are in files.
        resumes: Whether there is a checkpoint to resume from.
    """
    file = folder / ENVIRONMENT
    now = {**hardware.describe(), "replicas": hardware.replicas(), "workers": workers, "images": images}
    if resumes and file.exists():
        before = _read(file)
        changed = ["what it began with cannot be read"] if before is None else list(differences(before, now))
        if changed:
            kept = _kept_as(folder)
            file.replace(kept)
            _logger.warning(
                "%s goes on in another environment: %s. Numbers are rounded differently there, so the weights will not "
                "be, bit for bit, those of a run that was not interrupted. What it had before is in %s.",
                folder,
                "; ".join(changed),
                kept.name,
            )
    write_json(file, now)


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What two environments differ in that may change the last digits, each in a few words."""
    for name in _COMPARED:
        if name in before and before[name] != now[name]:
            yield f"{name} {_shown(before[name])}, now {_shown(now[name])}"
    packages = before.get("packages")
    old, new = packages if isinstance(packages, dict) else {}, now["packages"]
    for name in sorted({*old, *new} if old else ()):
        if old.get(name) != new.get(name):
            yield f"{name} {old.get(name, 'not installed')}, now {new.get(name, 'not installed')}"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = read_json(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _kept_as(folder: Path) -> Path:
    """The first free one of environment-1.json, environment-2.json and so on."""
    number = 1
    while (folder / f"environment-{number}.json").exists():
        number += 1
    return folder / f"environment-{number}.json"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
