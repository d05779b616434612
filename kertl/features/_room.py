"""How much room there is for features, and whether they fit."""

import os
import shutil
from pathlib import Path

MEMORY_SHARE = 0.5
"""The part of the free memory that features may fill: training needs some too."""
DISK_SHARE = 0.9
"""The part of the free disk that features may fill."""


def free_memory() -> int:
    """Bytes of memory that can be had without swapping, as the system and the process's control group see it."""
    free = [_meminfo(), _control_group()]
    return min((value for value in free if value is not None), default=_physical())


def free_disk(folder: str | Path) -> int:
    """Bytes that can be written to a folder, which need not be there yet."""
    path = Path(folder).absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def check_room(needed: int, cache_dir: str | Path | None, cache_bytes: int | None) -> None:
    """Raise if features cannot be kept.

    Raises:
        ValueError: If they take more than `cache_bytes`, or than there is room for.
    """
    if cache_bytes is not None and needed > cache_bytes:
        raise ValueError(
            f"`cache_bytes` must be at least what the features take, {needed}. Received: cache_bytes={cache_bytes}. "
            "Allow more, choose a boundary with fewer numbers, pass dtype='float16', or make fewer `views`."
        )
    if cache_dir is None:
        room = int(free_memory() * MEMORY_SHARE)
        if needed > room:
            raise ValueError(
                f"`cache_dir` must be a folder where features do not fit into half of the free memory. Received: "
                f"cache_dir=None for {readable(needed)}, and half of the free memory is {readable(room)}. "
                "Name a folder on a disk with so much room."
            )
        return
    room = int(free_disk(cache_dir) * DISK_SHARE)
    if needed > room:
        raise ValueError(
            f"`cache_dir` must have room for the features. Received: cache_dir={str(cache_dir)!r} with "
            f"{readable(room)} for {readable(needed)}. Choose a boundary with fewer numbers, pass dtype='float16', "
            "make fewer `views`, or name a folder on another disk."
        )


def readable(count: int) -> str:
    """Bytes as a person reads them."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _meminfo() -> int | None:
    path = Path("/proc/meminfo")
    if not path.exists():
        return None
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None


def _control_group() -> int | None:
    """What the limit of a container leaves, pages that only cache files not counted."""
    limit, used, details = (Path("/sys/fs/cgroup", f"memory.{name}") for name in ("max", "current", "stat"))
    try:
        most = limit.read_text().strip()
        cached = dict(line.split() for line in details.read_text().splitlines()).get("inactive_file", "0")
        return None if most == "max" else int(most) - int(used.read_text()) + int(cached)
    except (OSError, ValueError):
        return None


def _physical() -> int:
    """All memory, where nothing is known of what is free."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 62
