"""The files of runs and searches, on this machine and elsewhere: written, read, locked, fetched and uploaded."""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.run_files._files import (
        MODEL_FILE,
        SUMS,
        model_of_run,
        read_arrays,
        read_json,
        read_text,
        remove_partial,
        replace_file,
        save_figure,
        sha256_of,
        sha256_of_arrays,
        write_json,
        write_text,
    )
    from kertl.run_files._lock import locked
    from kertl.run_files._remote import RemoteCopy, local_run

__all__ = [
    "MODEL_FILE",
    "SUMS",
    "RemoteCopy",
    "local_run",
    "locked",
    "model_of_run",
    "read_arrays",
    "read_json",
    "read_text",
    "remove_partial",
    "replace_file",
    "save_figure",
    "sha256_of",
    "sha256_of_arrays",
    "write_json",
    "write_text",
]

# The names that each module defines.
_HOMES = {
    "._files": (
        "MODEL_FILE",
        "SUMS",
        "model_of_run",
        "read_arrays",
        "read_json",
        "read_text",
        "remove_partial",
        "replace_file",
        "save_figure",
        "sha256_of",
        "sha256_of_arrays",
        "write_json",
        "write_text",
    ),
    "._lock": ("locked",),
    "._remote": ("RemoteCopy", "local_run"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)
