"""Rows of results, kept as CSV with the date, the commit, the hardware and the versions they were measured with."""

import csv
import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path


def keep(name, rows, packages=("keras", "tensorflow")):
    """Append rows, which are mappings with the same keys, to results/<name>.csv."""
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    shared = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": described.stdout.strip() or "none",
        "hardware": ", ".join([platform.machine(), f"{os.cpu_count()} cores", *_accelerators()]),
        **{package: _version(package) for package in packages},
    }
    path = Path(__file__).parent / "results" / f"{name}.csv"
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*shared, *rows[0]])
        if new:
            writer.writeheader()
        writer.writerows({**shared, **row} for row in rows)


def _accelerators():
    """The accelerators of JAX, and its version, where it computes."""
    if os.environ.get("KERAS_BACKEND") != "jax":
        return []
    import jax

    kinds = sorted({device.device_kind for device in jax.devices() if device.platform != "cpu"})
    return [*kinds, f"JAX {jax.__version__}"]


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
