"""Gradients and silent units by layer group, on a few held examples, without touching what trains.

The model runs in inference mode: nothing is drawn, no statistics move. The gradients are those of the loss that it was
compiled with.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kertl.callbacks._by_group import Measured
from kertl.groups import activation_of, flatten, replay

EXAMPLES = 16
_RECTIFIED = ("relu", "relu6", "Relu", "Relu6")
_HALF_PRECISION_SCALE = 1024.0  # so that gradients in float16 do not become 0


class Probe:
    """Measures the gradients and the share of silent units of each group on the same examples again and again.

    Args:
        model: A compiled model.
        layers: The layers and operations of each group.
        variables: The variables that train in each group.
        x: Examples.
        y: Their labels.
    """

    def __init__(
        self,
        model: keras.Model,
        layers: Mapping[str, Sequence[Any]],
        variables: Mapping[str, Sequence[Any]],
        x: Any,
        y: np.ndarray,
    ) -> None:
        self._model, self._variables = model, variables
        self._x, self._y = keras.tree.map_structure(lambda array: array[:EXAMPLES], x), y[:EXAMPLES]
        self._forward = _watched(model, layers) or _plain(model)
        scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        self._scale = _HALF_PRECISION_SCALE if scaled else 1.0
        measure = {"tensorflow": _on_tensorflow, "jax": _on_jax}[keras.backend.backend()]
        self._measure = measure(model, self._loss)

    def __call__(self) -> tuple[Measured, Measured]:
        """The norm of the gradient of each group, and the share of its rectified units that none of them excites."""
        squares, silent = self._measure(self._x, self._y)
        by_variable = dict(zip(map(id, self._model.trainable_variables), squares, strict=True))
        gradients = {
            name: float(np.sqrt(sum(by_variable[id(one)] for one in own))) / self._scale
            for name, own in self._variables.items()
        }
        return gradients, {name: float(share) for name, share in silent.items()}

    def _loss(self, x: Any, y: Any) -> tuple[Any, Measured]:
        predictions, silent = self._forward(x)
        loss = self._model.compute_loss(x=x, y=y, y_pred=predictions, sample_weight=None, training=False)
        return keras.ops.cast(loss, "float32") * self._scale, silent


def can_probe(model: keras.Model) -> bool:
    """Whether a model can be probed: one output, the usual loss, a backend whose gradients are known."""
    usual = type(model).compute_loss is keras.Model.compute_loss and len(getattr(model, "outputs", None) or [0]) == 1
    return usual and keras.backend.backend() in ("tensorflow", "jax") and model.optimizer is not None


def has_replicas(model: keras.Model) -> bool:
    """Whether a model is computed on several devices, outside of which it cannot be called."""
    strategy = getattr(model, "distribute_strategy", None)
    return strategy is not None and strategy.num_replicas_in_sync > 1


def _plain(model: keras.Model) -> Callable[[Any], tuple[Any, Measured]]:
    return lambda x: (model(x, training=False), {})


def _watched(model: keras.Model, layers: Mapping[str, Sequence[Any]]) -> Callable[[Any], tuple[Any, Measured]] | None:
    """What gives predictions and the share of silent units by group; None for a model that is no graph."""
    try:
        graph = flatten(model)
    except (TypeError, ValueError):
        return None
    group_of = {id(layer): name for name, members in layers.items() for layer in members}
    still = {id(step.operation): _still(step.operation) for step in graph.steps}

    def forward(x: Any) -> tuple[Any, Measured]:
        silent: dict[str, list[Any]] = {}

        def call(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            given = operation(*args, **{**kwargs, **still[id(operation)]})
            if id(operation) in group_of and _is_rectified(operation):
                silent.setdefault(group_of[id(operation)], []).append(_silent(given))
            return given

        x = keras.ops.cast(x, graph.input_dtype)
        (predictions,) = replay(graph.steps, {graph.input: x}, [graph.output], call)
        return predictions, {name: keras.ops.mean(keras.ops.concatenate(parts)) for name, parts in silent.items()}

    return forward


def _still(operation: Any) -> dict[str, bool]:
    """Inference mode, for a layer that knows it; some layers of preprocessing vary pictures unless they are told."""
    takes = isinstance(operation, keras.layers.Layer) and "training" in inspect.signature(operation.call).parameters
    return {"training": False} if takes else {}


def _is_rectified(operation: Any) -> bool:
    """Whether a layer or operation gives 0 for what does not excite it."""
    if isinstance(operation, keras.layers.ReLU):
        return not operation.negative_slope and not operation.threshold
    return (activation_of(operation) or type(operation).__name__) in _RECTIFIED


def _silent(activation: Any) -> Any:
    """For each channel 1 if no example and no place excites it, else 0."""
    axes = tuple(range(len(activation.shape) - 1))
    return keras.ops.cast(keras.ops.logical_not(keras.ops.any(activation > 0, axis=axes)), "float32")


def _square(gradient: Any) -> Any:
    return keras.ops.sum(keras.ops.square(keras.ops.cast(keras.ops.convert_to_tensor(gradient), "float32")))


def _on_tensorflow(model: keras.Model, loss_of: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    import tensorflow as tf

    def measure(x: Any, y: Any) -> Any:
        values = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            loss, silent = loss_of(x, y)
        found = tape.gradient(loss, values, unconnected_gradients="zero")
        squares = keras.ops.convert_to_numpy(keras.ops.stack([_square(one) for one in found]))
        return squares, {name: keras.ops.convert_to_numpy(share) for name, share in silent.items()}

    return measure


def _on_jax(model: keras.Model, loss_of: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    import jax

    def stateless(trained: Any, others: Any, x: Any, y: Any) -> Any:
        variables = [*model.trainable_variables, *model.non_trainable_variables]
        with keras.StatelessScope(state_mapping=list(zip(variables, [*trained, *others], strict=True))):
            return loss_of(x, y)

    @jax.jit
    def compiled(trained: Any, others: Any, x: Any, y: Any) -> Any:
        found, silent = jax.grad(stateless, has_aux=True)(trained, others, x, y)
        return keras.ops.stack([_square(one) for one in found]), silent

    def measure(x: Any, y: Any) -> Any:
        trained = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        squares, silent = compiled(trained, others, x, y)
        return np.asarray(squares), silent

    return measure
