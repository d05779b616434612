"""One CPU or GPU."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from kertl.hardware._scope import Scope


class OneDevice(Scope):
    """One device. If it is the one that the backend would use anyway, nothing changes inside the scope."""

    def scope(self) -> AbstractContextManager[Any]:
        """As `Scope.scope`."""
        (device,) = self.choice.devices
        backend = keras.backend.backend()
        if backend == "tensorflow":
            import tensorflow as tf

            usual = "gpu:0" if tf.config.list_physical_devices("GPU") else "cpu:0"
            return nullcontext() if device == usual else tf.distribute.OneDeviceStrategy(device).scope()
        if backend == "torch":
            return keras.device(device)
        import jax

        kind, number = device.split(":")
        wanted = jax.devices(kind)[int(number)]
        return nullcontext() if wanted == jax.devices()[0] else jax.default_device(wanted)
