"""Several devices of one process, on TensorFlow."""

from functools import cache
from typing import Any

from kertl._checks import complain
from kertl.hardware._strategy_scope import StrategyScope


class Mirrored(StrategyScope):
    """A copy of the model on each device, and the mean of their gradients.

    Several CPU devices are virtual ones that share the cores: for trying out what several GPUs would do.
    """

    @property
    def _strategy(self) -> Any:
        if self.choice.accelerator == "cpu":
            _make_virtual(max(int(name.split(":")[1]) for name in self.choice.devices) + 1)
        return _strategy_of(self.choice.devices)


@cache
def _strategy_of(devices: tuple[str, ...]) -> Any:
    """The one strategy of this process for some devices.

    A second one counts its sums from the beginning again, and TensorFlow takes them for those of the first, which had
    other shapes.
    """
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def _make_virtual(count: int) -> None:
    """Let TensorFlow have so many CPU devices.

    Raises:
        ValueError: If it has been started with fewer.
    """
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        there = len(tf.config.list_logical_devices("CPU"))
        if there < count:
            advice = "Call `kertl.hardware.setup` and enter it before anything else uses TensorFlow."
            raise complain("devices", f"at most {there}, with which TensorFlow was started", count, advice) from error
