"""What a run depends on besides its recipe and its data, for its records."""

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    "kertl",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "pillow",
    "scikit-learn",
    "keras-hub",
    "keras-cv",
    "keras-tuner",
    "tensorboard",
    "openvino",
    "ai-edge-litert",
    "onnx",
    "onnxruntime",
    "tf2onnx",
)


def describe() -> dict[str, Any]:
    """The command, Python, the machine, its accelerators, the backend and package versions, for a run's records."""
    import keras

    return {
        "command": _command(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpus": cores(),
        "memory_gib": _memory_gib(),
        "backend": keras.backend.backend(),
        "devices": list(devices()),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
    }


def devices() -> tuple[str, ...]:
    """The devices that the backend sees, as Keras names them ("gpu:0"), the one that it uses by default first."""
    import keras

    if keras.backend.backend() != "torch":
        return tuple(str(device) for device in keras.distribution.list_devices())
    import torch  # for which Keras has no such list

    return tuple(f"gpu:{number}" for number in range(torch.cuda.device_count())) or ("cpu:0",)


def on_accelerator() -> bool:
    """Whether the backend has another device than a CPU."""
    return not all(device.startswith("cpu") for device in devices())


def fits_on_device(count: int) -> bool:
    """Whether so many bytes of data may be held on the accelerator that JAX uses: at most a quarter of its memory."""
    import jax

    device = next(iter(jax.numpy.zeros(()).devices()))
    return count <= (device.memory_stats() or {}).get("bytes_limit", 0) // 4


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _command() -> list[str] | None:
    """The command line, if kertl's own began this process."""
    name = Path(sys.argv[0]).name if sys.argv else ""
    return ["kertl", *sys.argv[1:]] if name in ("kertl", "kertl.exe", "__main__.py") else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _memory_gib() -> float:
    return round(psutil.virtual_memory().total / 2**30, 1)
