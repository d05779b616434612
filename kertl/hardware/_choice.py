"""What is there to compute on, what of it would be used, and why: a rule, without touching a device."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Any

import keras

from kertl._checks import complain, integer, one_of
from kertl.hardware._precision import PRECISIONS, precision_for
from kertl.hardware._processes import COORDINATOR, processes_told
from kertl.results import Result

ACCELERATORS = ("auto", "cpu", "gpu", "tpu")
_BACKENDS = ("tensorflow", "jax", "torch")


@dataclasses.dataclass(frozen=True, repr=False)
class Choice(Result):
    """What would be computed on, and why.

    Attributes:
        accelerator: "cpu", "gpu" or "tpu".
        strategy: How a model is spread: "one_device", "mirrored" (`tf.distribute.MirroredStrategy`), "workers"
            (`tf.distribute.MultiWorkerMirroredStrategy`), "tpu" (`tf.distribute.TPUStrategy`), or on JAX
            "data_parallel" (`keras.distribution.DataParallel`), "processes" (the same over several of them) and
            "model_parallel" (`keras.distribution.ModelParallel`).
        devices: The devices of this process, as Keras names them: "gpu:0".
        workers: How many processes train together.
        worker: The number of this one; the first, 0, is the chief, which writes.
        precision: What layers compute in while they train, as in `kertl.Recipe`.
        reasons: Why.
        model_parallel: Over how many devices each copy of the model is spread.
    """

    accelerator: str
    strategy: str
    devices: tuple[str, ...]
    workers: int
    worker: int
    precision: str
    reasons: tuple[str, ...]
    model_parallel: int = 1

    def table(self) -> str:
        """One line for each thing chosen, and the reasons."""
        more = f" in each of {self.workers} workers; this is number {self.worker}" if self.workers > 1 else ""
        lines = [
            f"Devices: {', '.join(self.devices)}{more}",
            f"Strategy: {self.strategy}",
            f"Precision: {self.precision}",
            *(f"- {reason}" for reason in self.reasons),
        ]
        return "\n".join(lines) + "\n"


def choose(
    accelerator: str = "auto",
    precision: str = "auto",
    devices: int | Sequence[int] | None = None,
    *,
    model_parallel: int = 1,
) -> Choice:
    """What `kertl.hardware.setup` would use.

    Args:
        accelerator: As there.
        precision: As there.
        devices: As there.
        model_parallel: As there.

    Raises:
        ValueError: If an argument is not as described there, or the accelerator or the devices are not there.

    Example:
        >>> from kertl import hardware
        >>> hardware.choose("cpu", precision="float32").devices
        ('cpu:0',)
    """
    one_of("accelerator", accelerator, ACCELERATORS)
    one_of("precision", precision, ("auto", *PRECISIONS))
    integer("model_parallel", model_parallel, at_least=1)
    backend = one_of("KERAS_BACKEND", keras.backend.backend(), _BACKENDS)
    workers, worker = _workers(backend)
    if backend == "jax" and workers > 1:
        if model_parallel > 1:
            raise complain("model_parallel", f"1 where {COORDINATOR} names several processes", model_parallel)
        return _of_processes(accelerator, precision, devices, workers, worker)
    there = _there(backend, accelerator)
    kind = accelerator
    if accelerator == "auto":
        kind = next(one for one in ("tpu", "gpu", "cpu") if there.get(one))
        reason = f"{'No GPU or TPU' if kind == 'cpu' else kind.upper()} is seen by the {backend} backend."
    elif not there.get(kind):
        found = ", ".join(f"{count} {one}" for one, count in there.items() if count)
        raise complain("accelerator", f"one that the {backend} backend sees: {found}", accelerator)
    else:
        reason = f"{kind.upper()} was asked for."
    chosen = _chosen_devices(kind, there[kind], devices)
    strategy, why = _strategy(backend, kind, len(chosen), workers)
    if model_parallel > 1:
        strategy, why = _spread_out(model_parallel, strategy, len(chosen))
    found_precision, because = precision_for(kind, backend) if precision == "auto" else (precision, "It was asked for.")
    reasons = (reason, why, because)
    return Choice(kind, strategy, chosen, workers, worker, found_precision, reasons, model_parallel)


def _there(backend: str, accelerator: str) -> dict[str, int]:
    """How many devices of each kind a backend sees; TensorFlow is not started for it, nor is JAX for its CPU."""
    if backend == "tensorflow":
        import tensorflow as tf

        found = {kind: len(tf.config.list_physical_devices(kind.upper())) for kind in ("cpu", "gpu", "tpu")}
        named = any(name in os.environ for name in ("TPU_NAME", "COLAB_TPU_ADDR"))
        return {**found, "tpu": max(found["tpu"], int(named))}
    if backend == "torch":
        import torch

        return {"cpu": 1, "gpu": torch.cuda.device_count(), "tpu": 0}
    names = [] if accelerator == "cpu" else keras.distribution.list_devices()
    return {"cpu": 1, **{kind: sum(name.startswith(kind) for name in names) for kind in ("gpu", "tpu")}}


def _chosen_devices(kind: str, there: int, devices: Any) -> tuple[str, ...]:
    if devices is None:
        count = 1 if kind == "cpu" else there
        return tuple(f"{kind}:{number}" for number in range(count))
    if isinstance(devices, (list, tuple)):
        numbers = [integer("devices", number, at_least=0) for number in devices]
        if not numbers or len(set(numbers)) < len(numbers):
            raise complain("devices", "a number of devices, or a list of different device numbers", devices)
    else:
        numbers = list(range(integer("devices", devices, at_least=1)))
    if kind != "cpu" and max(numbers) >= there:
        raise complain("devices", f"at most the {there} devices that are there, numbered from 0", devices)
    return tuple(f"{kind}:{number}" for number in numbers)


def _workers(backend: str) -> tuple[int, int]:
    """How many processes train together and which of them this is, by TF_CONFIG or JAX's variables."""
    if backend == "jax":
        return processes_told()
    told = os.environ.get("TF_CONFIG")
    if backend != "tensorflow" or not told:
        return 1, 0
    try:
        value = json.loads(told)
        cluster, task = value.get("cluster", {}), value.get("task", {})
        chiefs, others = len(cluster.get("chief", ())), len(cluster.get("worker", ()))
        number = int(task.get("index", 0)) + (chiefs if task.get("type") == "worker" else 0)
        known = task.get("type") in ("chief", "worker") or not cluster
    except (ValueError, AttributeError, TypeError) as error:
        raise complain("TF_CONFIG", "a JSON object with a cluster and a task", told) from error
    if not known:
        raise complain("TF_CONFIG", "that of a chief or a worker; parameter servers are not used", told)
    if number >= max(1, chiefs + others):
        raise complain("TF_CONFIG", f"a task of its cluster of {chiefs + others}", told)
    return max(1, chiefs + others), number


def _spread_out(parts: int, strategy: str, count: int) -> tuple[str, str]:
    """The strategy in which a copy of the model is spread over so many devices, and why."""
    if strategy != "data_parallel":
        advice = "Set KERAS_BACKEND=jax, and `devices` to a multiple of it. TensorFlow copies a model to each device."
        raise complain("model_parallel", "1 unless JAX has several devices in one process", parts, advice)
    if count % parts:
        raise complain("model_parallel", f"a divisor of the number of devices, {count}", parts)
    return "model_parallel", f"Each copy of the model is spread over {parts} devices."


def _of_processes(accelerator: str, precision: str, devices: Any, workers: int, worker: int) -> Choice:
    """All devices of several processes of JAX, which must not be started before it knows of them all."""
    if accelerator == "auto" or devices is not None:
        name, accepted, given = (
            ("accelerator", "'cpu', 'gpu' or 'tpu'", accelerator)
            if accelerator == "auto"
            else ("devices", "None, for all devices of each process,", devices)
        )
        raise complain(name, f"{accepted} where {COORDINATOR} names several processes", given)
    usual = "mixed_bfloat16" if accelerator == "tpu" else "float32"
    found, because = (precision, "It was asked for.") if precision != "auto" else (usual, "JAX has not started yet.")
    why = (f"{accelerator.upper()} was asked for.", f"{COORDINATOR} is set, with {workers} processes.", because)
    return Choice(accelerator, "processes", (f"{accelerator}:all",), workers, worker, found, why)


def _strategy(backend: str, kind: str, count: int, workers: int) -> tuple[str, str]:
    if workers > 1:
        if kind == "tpu":
            raise complain("accelerator", "'cpu' or 'gpu' where TF_CONFIG names several workers", kind)
        if kind == "cpu" and count > 1:
            raise complain("devices", "1 CPU in each process where TF_CONFIG names several", count)
        return "workers", f"TF_CONFIG names {workers} processes."
    if backend == "jax":
        return ("data_parallel", f"There are {count} devices.") if count > 1 else ("one_device", "There is one device.")
    if kind == "tpu":
        return "tpu", "TPU cores take part in one strategy."
    if count > 1 and backend == "torch":
        raise complain("devices", "1 on the PyTorch backend", count, "Keras spreads a model on TensorFlow and JAX.")
    return ("mirrored", f"There are {count} devices.") if count > 1 else ("one_device", "There is one device.")
