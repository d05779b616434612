"""How much room there is for features, and whether they fit."""

import shutil
from pathlib import Path

from kertl import _checks
from kertl._memory import free_memory, readable
from kertl.errors import ArgumentError

__all__ = ["DISK_SHARE", "MEMORY_SHARE", "check_room", "free_disk", "free_memory", "readable"]

MEMORY_SHARE = 0.5
"""The part of the free memory that features may fill: training needs some too."""
DISK_SHARE = 0.9
"""The part of the free disk that features may fill."""


def free_disk(folder: str | Path) -> int:
    """Bytes that can be written to a folder, which need not exist yet."""
    path = _checks.path("cache_dir", folder).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def check_room(needed: int, cache_dir: str | Path | None, cache_bytes: int | None) -> None:
    """Raise if features cannot be cached.

    Raises:
        ValueError: If they take more than `cache_bytes`, or more than fits.
    """
    if cache_bytes is not None and needed > cache_bytes:
        raise ArgumentError(
            f"`cache_bytes` must be at least what the features take, {needed}. Received: cache_bytes={cache_bytes}. "
            "Allow more, choose a boundary with fewer numbers, pass dtype='float16', or make fewer `views`.",
            code="memory",
        )
    if cache_dir is None:
        room = int(free_memory() * MEMORY_SHARE)
        if needed > room:
            raise ArgumentError(
                f"`cache_dir` must be a folder where features do not fit into half of the free memory. Received: "
                f"cache_dir=None for {readable(needed)}, and half of the free memory is {readable(room)}. "
                "Name a folder on a disk with so much room.",
                code="memory",
            )
        return
    room = int(free_disk(cache_dir) * DISK_SHARE)
    if needed > room:
        raise ArgumentError(
            f"`cache_dir` must have room for the features. Received: cache_dir={str(cache_dir)!r} with "
            f"{readable(room)} for {readable(needed)}. Choose a boundary with fewer numbers, pass dtype='float16', "
            "make fewer `views`, or name a folder on another disk.",
            code="memory",
        )
