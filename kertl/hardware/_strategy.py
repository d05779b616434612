"""The `tf.distribute` strategy that a model was built under, or that is in effect."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras


def replicas() -> int:
    """How many copies of a model the current `tf.distribute` scope makes; 1 outside one and on other backends."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def scope_of(model: Any) -> AbstractContextManager[Any]:
    """The `tf.distribute` scope in which a model was built; one that does nothing elsewhere."""
    strategy = getattr(model, "distribute_strategy", None)
    return nullcontext() if strategy is None else strategy.scope()


def current_strategy() -> Any:
    """The strategy in effect; None on backends that have none."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    return tf.distribute.get_strategy()


def has_workers(strategy: Any) -> bool:
    """Whether a strategy spreads a model over several processes that `tf.distribute` lets work alike."""
    if strategy is None or keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    workers = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    return workers and len(tasks(strategy.cluster_resolver)) > 1


def tasks(resolver: Any) -> list[tuple[str, int]]:
    """Kind and number of each process of a cluster, the chief first."""
    cluster = resolver.cluster_spec().as_dict()
    return [(kind, number) for kind in ("chief", "worker") for number in range(len(cluster.get(kind, ())))]
