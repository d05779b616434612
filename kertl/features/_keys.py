"""Everything that the features of an image depend on besides the image, as one digest."""

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kertl.errors import ArgumentError
from kertl.groups import Chain
from kertl.model import layer_config

_NOT_COMPARED = ("name", "trainable")  # automatic names are numbered per process; flags change with the stage
_VERSIONED = ("keras", "keras_hub", "keras_cv", "kertl")


def prefix_key(chain: Chain, first: int) -> str:
    """The digest of what the groups before group `first` compute: layers, how they are connected, and weights.

    Raises:
        ValueError: If a layer does not report its settings.
    """
    numbers: dict[Any, int] = {}
    kind = type(chain.graph.input)

    def described(leaf: Any) -> Any:
        return ["tensor", numbers.setdefault(leaf, len(numbers))] if isinstance(leaf, kind) else leaf

    digest = hashlib.sha256()
    digest.update(_json([described(chain.graph.input), chain.graph.input_dtype]))
    for step in chain.steps(0, first):
        joined = keras.tree.map_structure(described, (step.args, step.kwargs, step.outputs))
        digest.update(_json([_settings(step.operation), joined]))
        for weight in getattr(step.operation, "weights", ()):
            digest.update(_json(keras.ops.convert_to_numpy(weight)))
    digest.update(_json([described(ref) for ref in chain.crossing(first)]))
    return digest.hexdigest()


def key_of(parts: Mapping[str, Any]) -> str:
    """The digest of anything that JSON can hold."""
    return hashlib.sha256(_json(parts)).hexdigest()


def layer_settings(layer: Any) -> list[Any]:
    """The class and the settings of a layer, without its name and without seeds, which may be random."""
    name, config, source = _settings(layer)
    return [name, {key: value for key, value in config.items() if key != "seed"}, source]


def _settings(operation: Any) -> list[Any]:
    """The class and settings of a layer or operation; for a class without a package version, its code too."""
    kind = type(operation)
    try:
        config = layer_config(operation)
    except NotImplementedError as error:
        raise ArgumentError(
            f"`model` must have layers that report their settings, for features to be cached on disk. "
            f"Received: {operation.name!r} of class {kind.__name__}, which has no `get_config`. "
            "Write that method, or pass cache_dir=None."
        ) from error
    source = ""
    if kind.__module__.partition(".")[0] not in _VERSIONED:
        try:
            source = inspect.getsource(kind)
        except (OSError, TypeError):  # defined at a prompt
            source = ""
    settings = {name: value for name, value in config.items() if name not in _NOT_COMPARED}
    return [kind.__qualname__, _nameless(settings), source]


def _nameless(value: Any) -> Any:
    """Settings without the names of layers, at any depth: a layer may have others inside it.

    Names of other things, such as a precision, are settings.
    """
    if isinstance(value, dict):
        left_out = _NOT_COMPARED if "trainable" in value else ()
        return {str(key): _nameless(inner) for key, inner in value.items() if key not in left_out}
    return [_nameless(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=_plain).encode()


def _plain(value: Any) -> Any:
    """What JSON cannot hold: arrays by their content, everything else by its `repr`."""
    if hasattr(value, "__array__"):
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(value))
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    return repr(value)
