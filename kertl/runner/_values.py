"""Numbers, strings, None, arrays, lists and dictionaries as one file of numpy, without pickle."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from kertl._checks import parse_json


def save_values(file: Any, value: Any) -> None:
    """Write a value to a path or an open file."""
    arrays: dict[str, np.ndarray] = {}
    text = json.dumps(_packed(value, arrays))
    np.savez(file, allow_pickle=False, state=np.array(text), **arrays)


def values_in(arrays: Mapping[str, np.ndarray]) -> Any:
    """The value that `save_values` wrote, from the arrays in its file.

    Raises:
        ValueError: If they are something else.
        KeyError: If one is missing.
    """
    return _unpacked(parse_json(str(arrays["state"])), arrays)


def to_bytes(value: Any) -> bytes:
    """What `save_values` writes."""
    file = io.BytesIO()
    save_values(file, value)
    return file.getvalue()


def from_bytes(content: bytes) -> Any:
    """The value from what `to_bytes` gave."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return values_in(arrays)


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The value with each array moved to `arrays` and replaced by a mark."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {"__array__": name, "dtype": value.dtype.name}
    if isinstance(value, dict):
        return {name: _packed(item, arrays) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(item, arrays) for item in value]
    return value


def _unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, dict) and "__array__" in value:
        array = arrays[value["__array__"]]
        # numpy's files do not know bfloat16.
        return array.view(np.dtype(value["dtype"])) if array.dtype.kind == "V" else array
    if isinstance(value, dict):
        return {name: _unpacked(item, arrays) for name, item in value.items()}
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    return value
