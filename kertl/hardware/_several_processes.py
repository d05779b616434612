"""Several processes, on one machine or many, on JAX."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import keras

from kertl._checks import complain
from kertl.hardware._processes import COORDINATOR
from kertl.hardware._scope import Scope


class SeveralProcesses(Scope):
    """`keras.distribution.DataParallel` over the devices of all processes; each runs the same script.

    JAX waits, when the scope is entered, until all of them are there.
    """

    @property
    def replicas(self) -> int:
        """As `Scope.replicas`; known once the scope was entered, since processes may have different devices."""
        return len(keras.distribution.list_devices(self.choice.accelerator))

    def scope(self) -> AbstractContextManager[Any]:
        """As `Scope.scope`."""
        return self._distributed()

    @contextmanager
    def _distributed(self) -> Iterator[None]:
        import jax

        if not jax.distributed.is_initialized():
            try:
                keras.distribution.initialize(os.environ[COORDINATOR], self.choice.workers, self.choice.worker)
            except RuntimeError as error:
                advice = "Call `kertl.hardware.setup` and enter it before anything else uses JAX."
                raise complain(COORDINATOR, "reached before JAX starts", str(error), advice) from error
        before = keras.distribution.distribution()
        everywhere = keras.distribution.list_devices(self.choice.accelerator)
        spread = keras.distribution.DataParallel(devices=everywhere, auto_shard_dataset=False)
        keras.distribution.set_distribution(spread)
        try:
            yield
        finally:
            keras.distribution.set_distribution(before)
