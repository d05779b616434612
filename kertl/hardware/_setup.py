"""`setup`: the scope for what is there."""

from collections.abc import Callable, Sequence

from kertl.hardware._choice import Choice, choose
from kertl.hardware._data_parallel import DataParallel
from kertl.hardware._mirrored import Mirrored
from kertl.hardware._model_parallel import ModelParallel
from kertl.hardware._one_device import OneDevice
from kertl.hardware._scope import Scope
from kertl.hardware._several_processes import SeveralProcesses
from kertl.hardware._several_workers import SeveralWorkers
from kertl.hardware._tpu import TpuCores

_KINDS: dict[str, Callable[[Choice], Scope]] = {
    "one_device": OneDevice,
    "mirrored": Mirrored,
    "workers": SeveralWorkers,
    "tpu": TpuCores,
    "data_parallel": DataParallel,
    "model_parallel": ModelParallel,
    "processes": SeveralProcesses,
}


def setup(
    accelerator: str = "auto",
    precision: str = "auto",
    devices: int | Sequence[int] | None = None,
    *,
    model_parallel: int = 1,
) -> Scope:
    """Find what there is to compute on; `with` it, models are built and trained there.

    The script is the same everywhere: on one CPU or GPU nothing is changed, several GPUs or TPU cores each have a copy
    of the model, and where TF_CONFIG names several processes all of them train one model: each runs the same script,
    and the first one, the chief, writes the run directory. `kertl doctor` shows what would be chosen. Of these, several
    virtual devices and several processes on one machine are tested; several GPUs and a TPU were never at hand.

    On JAX, JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID name the processes, and the accelerator must
    be given. Plain `fit` trains on `kertl.hardware.share(data.train)` there; `kertl.fine_tune` needs TensorFlow for it.

    Enter it first: TensorFlow and JAX take up devices when they are first used.

    Args:
        accelerator: "cpu", "gpu", "tpu", or "auto": the best that the backend sees.
        precision: What layers compute in while they train, for `kertl.fine_tune` inside the scope: "float32",
            "mixed_bfloat16" or "mixed_float16"; or "auto": bfloat16 on a TPU and on GPUs from compute capability 8.0
            on, float16 from 7.0 on, float32 on others and on a CPU.
        devices: How many of them, or a list of their numbers, counted from 0; None for all. CPU devices above one are
            virtual ones that share the cores, to try out what several would do; None is one.
        model_parallel: Over how many devices each copy of the model is spread, a divisor of their number; for a
            backbone that does not fit one device, on JAX. Large kernels and their moments are divided, everything else
            is on every device. 1: each device has a whole copy.

    Raises:
        ValueError: If an argument is not as described, or the accelerator or the devices are not there.

    Example:
        >>> import kertl
        >>> with kertl.hardware.setup("cpu") as hardware:
        ...     batch_size = hardware.batch_size(per_replica=32)
        ...     model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> hardware.replicas, batch_size
        (1, 32)
    """
    choice = choose(accelerator, precision, devices, model_parallel=model_parallel)
    return _KINDS[choice.strategy](choice)
