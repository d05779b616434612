"""Several devices of one process, on JAX."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras

from kertl._checks import complain
from kertl.hardware._scope import Scope


class DataParallel(Scope):
    """`keras.distribution.DataParallel`: weights on every device, batches spread over them.

    Several CPU devices are virtual ones that share the cores: for trying out what several GPUs would do.
    """

    def scope(self) -> AbstractContextManager[Any]:
        """As `Scope.scope`."""
        return self._distributed()

    @contextmanager
    def _distributed(self) -> Iterator[None]:
        if self.choice.accelerator == "cpu":
            _make_virtual(max(int(name.split(":")[1]) for name in self.choice.devices) + 1)
        before = keras.distribution.distribution()
        keras.distribution.set_distribution(self._spread())
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)

    def _spread(self) -> Any:
        return keras.distribution.DataParallel(devices=list(self.choice.devices), auto_shard_dataset=False)


def shares() -> int:
    """Into how many equal shares JAX divides each batch in the scope in effect; 1 outside one and on other backends."""
    spread = keras.distribution.distribution() if keras.backend.backend() == "jax" else None
    if spread is None:
        return 1
    mesh = spread.device_mesh
    return int(mesh.shape[mesh.axis_names.index(spread.batch_dim_name)])


def _make_virtual(count: int) -> None:
    """Let JAX have so many CPU devices.

    Raises:
        ValueError: If it has been started with fewer.
    """
    import jax

    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        there = len(jax.devices("cpu"))
        if there < count:
            advice = "Call `kertl.hardware.setup('cpu', ...)` and enter it before anything else uses JAX."
            raise complain("devices", f"at most {there}, with which JAX was started", count, advice) from error
