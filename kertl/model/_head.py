"""The layers of a head, on a backbone or on features."""

from collections.abc import Collection
from typing import Any

import keras

from kertl._checks import complain
from kertl.groups import depths_of, find_chain, with_tensors
from kertl.hardware import replicas
from kertl.heads import Head, initializer_for
from kertl.tasks import Task

_MOST_NUMBERS = 20_000
"""The most features that a head takes whose depths are chosen by rule: 80 KB for each image."""
_LEAST_VARIANCE = 1e-6
"""Added before the square root, whose slope at 0, where a channel is constant, is infinite."""


def head_on(head: Head, backbone: keras.Model, outputs: int, task: Task) -> tuple[Any, Any]:
    """The input of a backbone and the predictions, both symbolic, with the layers of the backbone shared.

    Raises:
        ValueError: If the backbone has no layer group of a name in `depths`.
    """
    if head.depths == "last":
        return backbone.input, head_answers(head, backbone.output, outputs, task)
    chain = find_chain(backbone)
    refs = depths_of(chain, head.depths, _MOST_NUMBERS // len(head.statistics))
    inputs, tensors = with_tensors(chain, list(refs.values()))
    taken = {step.operation.name for step in chain.graph.steps}
    vectors = [
        _statistic(statistic, tensor, _free(f"{statistic}_of_{name}", taken))
        for name, tensor in zip(refs, tensors, strict=True)
        for statistic in (head.statistics if len(tensor.shape) > 2 else ("mean",))
    ]
    joined = vectors[0] if len(vectors) == 1 else keras.layers.Concatenate(name=_free("depths", taken))(vectors)
    return inputs, head_answers(head, joined, outputs, task, taken)


def head_answers(head: Head, features: Any, outputs: int, task: Task, taken: Collection[str] = ()) -> Any:
    """The predictions, symbolic, shape `(batch, outputs)`, from symbolic features of any rank; float32.

    Names in `taken` are not given to layers.

    Raises:
        ValueError: If the pooling is "token" and the features are not tokens.
    """
    x = _pool(features, head.pooling)
    for index, units in enumerate(head.hidden_units, start=1):
        x = keras.layers.Dense(
            units,
            use_bias=not head.batch_norm,
            kernel_initializer=initializer_for(head.activation) if head.initializer == "auto" else head.initializer,
            kernel_regularizer=_regularizer(head),
            name=_free(f"head_dense_{index}", taken),
        )(x)
        if head.batch_norm:
            x = _batch_norm(head, _free(f"head_batch_norm_{index}", taken))(x)
        x = keras.layers.Activation(head.activation, name=_free(f"head_activation_{index}", taken))(x)
        if head.dropout:
            x = keras.layers.Dropout(head.dropout, name=_free(f"head_dropout_{index}", taken))(x)
    if not head.hidden_units and head.dropout:
        x = keras.layers.Dropout(head.dropout, name=_free("head_dropout", taken))(x)
    return keras.layers.Dense(
        outputs,
        activation=task.activation,
        kernel_regularizer=_regularizer(head),
        dtype="float32",
        name=_free("predictions", taken),
    )(x)


def _batch_norm(head: Head, name: str) -> keras.layers.Layer:
    return keras.layers.BatchNormalization(momentum=head.batch_norm_momentum, synchronized=replicas() > 1, name=name)


def _regularizer(head: Head) -> Any:
    return keras.regularizers.L1L2(head.l1, head.l2) if head.l1 or head.l2 else None


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or one like it that no layer has."""
    while name in taken:
        name = f"{name}_of_head"
    return name


def _statistic(statistic: str, features: Any, name: str) -> Any:
    """One number for each channel of maps of rank 4 or tokens of rank 3; vectors unchanged."""
    rank, layers = len(features.shape), keras.layers
    if rank == 2:
        return features
    if statistic == "std":
        variance = keras.ops.var(features, axis=tuple(range(1, rank - 1)))
        return keras.ops.sqrt(variance + _LEAST_VARIANCE)
    pooling = {
        ("mean", 4): layers.GlobalAveragePooling2D,
        ("max", 4): layers.GlobalMaxPooling2D,
        ("mean", 3): layers.GlobalAveragePooling1D,
        ("max", 3): layers.GlobalMaxPooling1D,
    }
    return pooling[statistic, rank](name=name)(features)


def _pool(features: Any, pooling: str) -> Any:
    """Feature maps of rank 4 (pictures) or 3 (tokens) as vectors; vectors unchanged."""
    rank = len(features.shape)
    if pooling == "token" and rank != 3:
        raise complain("pooling", f"other than 'token' for features of shape {tuple(features.shape[1:])}", pooling)
    if rank == 2:
        return features
    if pooling == "token":
        return keras.ops.take(features, 0, axis=1)
    if pooling == "flatten":
        return keras.layers.Flatten(name="flatten")(features)
    layers = keras.layers
    average, maximum = (
        (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
        if rank == 4
        else (layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D)
    )
    pooled = []
    if pooling in ("avg", "both"):
        pooled.append(average(name="average_pooling")(features))
    if pooling in ("max", "both"):
        pooled.append(maximum(name="max_pooling")(features))
    return pooled[0] if len(pooled) == 1 else layers.Concatenate(name="pooling")(pooled)
