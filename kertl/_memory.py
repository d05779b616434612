"""How much memory is free, which errors say that there is none, and how numbers of bytes are written."""

from pathlib import Path

import psutil


def free_memory() -> int:
    """Bytes of memory that are available without swapping, as the system and the process's control group see it."""
    within = _control_group()
    available = int(psutil.virtual_memory().available)
    return available if within is None else min(available, within)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is too little memory: TensorFlow's, JAX's, PyTorch's or Python's own."""
    named = type(error).__name__ in ("ResourceExhaustedError", "OutOfMemoryError")
    return named or isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def readable(count: int) -> str:
    """Bytes as a person reads them."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:.2f} MB" if size < 1e7 else f"{size / 1e6:.1f} MB"


def _control_group(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the limit of a container leaves, without pages that only cache files; psutil does not know it."""
    limit, used, details = (folder / f"memory.{name}" for name in ("max", "current", "stat"))
    try:
        most = limit.read_text().strip()
        cached = dict(line.split() for line in details.read_text().splitlines()).get("inactive_file", "0")
        return None if most == "max" else max(0, int(most) - int(used.read_text()) + int(cached))
    except (OSError, ValueError):
        return None
