"""Several processes, on one machine or many, on TensorFlow."""

from functools import cached_property
from typing import Any

from kertl._checks import complain
from kertl.hardware._strategy_scope import StrategyScope


class SeveralWorkers(StrategyScope):
    """The workers that TF_CONFIG names; every one runs the same script, and the first writes.

    TensorFlow waits, when the scope is entered, until all of them are there.
    """

    @property
    def replicas(self) -> int:
        """As `Scope.replicas`; known once the scope was entered, since workers may have different devices."""
        return int(self._strategy.num_replicas_in_sync)

    @cached_property
    def _strategy(self) -> Any:
        import tensorflow as tf

        wanted = [int(name.split(":")[1]) for name in self.choice.devices if self.choice.accelerator == "gpu"]
        gpus = tf.config.list_physical_devices("GPU")
        try:
            tf.config.set_visible_devices([gpus[number] for number in wanted], "GPU")
            return tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:
            advice = "Call `kertl.hardware.setup` and enter it before anything else uses TensorFlow."
            raise complain("TF_CONFIG", "read before TensorFlow starts", str(error), advice) from error
