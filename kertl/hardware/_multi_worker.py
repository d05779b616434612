"""`fit` under `tf.distribute.MultiWorkerMirroredStrategy`, which Keras 3.15's own models cannot do.

Keras builds a model from the values of all replicas, and takes the mean of metrics over their first axis. Where each
worker has one value, the first gives a `PerReplica` object, and the second has no axis. So the model here builds itself
from the local values, and gives its metrics an axis.
"""

from typing import Any

import keras

from kertl._checks import complain
from kertl._keras import SEVERAL_WORKERS, gone
from kertl.errors import SetupError
from kertl.hardware._strategy import has_workers


def multi_worker(model: keras.Model) -> keras.Model:
    """The same model as one that `fit`, `evaluate` and `predict` work with on several workers of TensorFlow.

    Plain Keras 3.15 raises in `fit` under `tf.distribute.MultiWorkerMirroredStrategy`. What is returned shares the
    layers of `model`, so training it trains `model`, which is what to save. `kertl.fine_tune` uses it by itself.

    Args:
        model: A functional model that was built inside the strategy's scope.

    Returns:
        A model of the same inputs and outputs, not compiled. The same model if it was built for one process, so that a
        script need not ask.

    Raises:
        ValueError: If the model is not a functional one.
        RuntimeError: If this version of Keras lacks what it builds on.

    Example:
        >>> import keras
        >>> from kertl import hardware
        >>> with hardware.setup().scope():
        ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        ...     trained = hardware.multi_worker(model)
        >>> trained is model  # there is one process here
        True

    Reference:
        keras-team/keras, "MultiWorkerMirroredStrategy not supported in Keras 3", issue 20585.
        https://github.com/keras-team/keras/issues/20585
    """
    if not has_workers(getattr(model, "distribute_strategy", None)):
        return model
    if not hasattr(model, "inputs") or not model.inputs:
        raise complain("model", "a functional or sequential model", model)
    if missing := gone(SEVERAL_WORKERS):
        raise SetupError(
            f"Keras must have what training on several workers builds on. Received: Keras {keras.__version__}, without "
            f"{', '.join(missing)}. Install the version in constraints.txt."
        )
    return WorkerModel(model.inputs if len(model.inputs) > 1 else model.input, model.output, name=model.name)


class WorkerModel(keras.Model):
    """A functional model whose `fit` runs on several workers of TensorFlow."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Build from this worker's own values."""
        if iterator is not None:
            strategy = self.distribute_strategy
            _, _, batches = next(iter(iterator))
            given = next(batches)
            data_batch = keras.tree.map_structure(lambda value: strategy.experimental_local_results(value)[0], given)
        super()._maybe_symbolic_build(data_batch=data_batch)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Keras' own step; each metric with an axis to take the mean over."""
        return _with_axis(super().train_step(data))

    def test_step(self, data: Any) -> dict[str, Any]:
        """The same without training."""
        return _with_axis(super().test_step(data))


def _with_axis(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: keras.ops.expand_dims(value, 0) for name, value in metrics.items()}
