"""TPU cores, on TensorFlow. Never run: none was at hand, and the stock TensorFlow wheel has no TPU operations."""

from functools import cached_property
from typing import Any

from kertl.hardware._strategy_scope import StrategyScope


class TpuCores(StrategyScope):
    """`tf.distribute.TPUStrategy` over all cores of the TPU that TPU_NAME names, or of this machine."""

    @property
    def replicas(self) -> int:
        """As `Scope.replicas`; a TPU has several cores."""
        return int(self._strategy.num_replicas_in_sync)

    @cached_property
    def _strategy(self) -> Any:
        import tensorflow as tf

        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
