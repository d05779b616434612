"""Labels given as an array next to the images."""

import enum
import numbers
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from kertl import _checks
from kertl.data._labels import SEPARATOR, Labelling, number_text, of_numbers
from kertl.data._pixels import array_of
from kertl.data._scan import natural
from kertl.data._spelling import near_twin
from kertl.errors import DataError, KertlError


def read_labels(y: Any, size: int, task: str, class_names: Sequence[str] | None) -> tuple[list[str], Labelling]:
    """The label of each image as text, and how the texts become labels again.

    Args:
        y: What `from_arrays` was given.
        size: Number of images.
        task: The task.
        class_names: Names of the classes or targets, or None.

    Raises:
        DataError: If `y` does not fit the images, the task or the names.
    """
    try:
        y = label_array(y)
    except KertlError:
        raise
    except ValueError as error:  # rows of different lengths
        advice = "a table of 0 and 1, with a column for each class" if task == "multi_label" else "one label per image"
        raise DataError(f"`y` must hold {advice}. Received: rows of different lengths.", code="labels") from error
    class_names = _checks.class_names(class_names)
    if task == "multi_label":
        return _multi_label(y, size, class_names)
    if of_numbers(task):
        return _numbers(y, size, task, class_names)
    texts, names = _single(y.astype(np.int64) if y.dtype == bool and task == "binary" else y, size, class_names)
    return texts, Labelling(task, tuple(names))


def label_array(y: Any, argument: str = "y") -> np.ndarray:
    """Labels as an array, however they come: an array, a column, a list, or what can only be gone through once.

    Members of a `str` or `int` enumeration become their values; NumPy would cut `Kind.cat` to the length of "cat".
    Numbers of dtype `object`, as columns of mixed tables have them, become numbers.

    Args:
        y: Labels.
        argument: Where they were given, for errors.

    Raises:
        DataError: If there are members of another enumeration.
        ValueError: If rows are of different lengths, or labels are masked.
    """
    if not hasattr(y, "__array__") and isinstance(y, Iterable) and not isinstance(y, (str, bytes, Mapping, Set)):
        y = [_checks.plain(label) for label in y]
    found = array_of(argument, y)
    if found.dtype.kind != "O":
        return found
    found = np.asarray(np.frompyfunc(_checks.plain, 1, 1)(found))
    labels = found.ravel().tolist()
    member = next((label for label in labels if isinstance(label, enum.Enum)), None)
    if member is not None:
        raise DataError(
            f"`{argument}` must hold class ids or class names. Received: {member!r}, a member of an enumeration. "
            "Pass the `value` or the `name` of each.",
            code="labels",
        )
    flags = [isinstance(label, (bool, np.bool_)) for label in labels]
    if all(flags) or (not any(flags) and all(isinstance(label, numbers.Real) for label in labels)):
        return np.array(labels).reshape(found.shape)
    return found


def _single(y: np.ndarray, size: int, class_names: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The class name of each image, and all of them in the order of their ids."""
    if y.shape == (size, 1):
        y = y[:, 0]
    if y.shape != (size,):
        advice = " Pass y.argmax(axis=1) for one-hot labels." if y.ndim == 2 and len(y) == size else ""
        raise DataError(
            f"`y` must hold one label per image, shape ({size},). Received: shape {y.shape}.{advice}", code="labels"
        )
    if y.dtype.kind in "iu":
        names = [str(k) for k in range(int(y.max()) + 1)] if class_names is None else list(class_names)
        if not (y.min() >= 0 and y.max() < len(names)):
            raise DataError(
                f"`y` must hold class ids from 0 to {len(names) - 1}. Received: {y.min()} to {y.max()}.", code="labels"
            )
        return [names[k] for k in y], names
    if y.dtype.kind not in "UO" or not all(isinstance(label, str) and label for label in y):
        raise DataError(
            f"`y` must hold class ids or class names. Received: dtype {y.dtype}, such as {y.tolist()[0]!r}.",
            code="labels",
        )
    labels = [str(label) for label in y]
    names = sorted(set(labels), key=natural) if class_names is None else list(class_names)
    unknown = sorted(set(labels) - set(names), key=natural)
    if unknown:
        advice = near_twin(unknown[0], names)
        raise DataError(
            f"`y` must hold names in `class_names`, {names}. Received: {unknown[0]!r}. {advice}".rstrip(), code="labels"
        )
    return labels, names


def _multi_label(y: np.ndarray, size: int, class_names: Sequence[str] | None) -> tuple[list[str], Labelling]:
    if y.ndim != 2 or len(y) != size or y.dtype.kind not in "biuf" or not np.isin(y, (0, 1)).all():
        received = f"dtype {y.dtype}, shape {y.shape}"
        if y.ndim == 2 and y.dtype.kind in "biuf" and len(y) == size:
            received = f"{y[~np.isin(y, (0, 1))].flat[0]!s}"
        raise DataError(
            f"`y` must hold 0 and 1, one column per class, shape ({size}, classes). Received: {received}.",
            code="labels",
        )
    names = _names(class_names, y.shape[1])
    labelling = Labelling("multi_label", names)
    texts = [SEPARATOR.join(sorted((names[k] for k in np.flatnonzero(row)), key=natural)) for row in y]
    return texts, labelling


def _numbers(y: np.ndarray, size: int, task: str, class_names: Sequence[str] | None) -> tuple[list[str], Labelling]:
    columns = y[:, None] if y.ndim == 1 else y
    if columns.ndim != 2 or len(columns) != size or columns.dtype.kind not in "biuf" or not columns.shape[1]:
        raise DataError(
            f"`y` must hold numbers, shape ({size},) or ({size}, targets). Received: dtype {y.dtype}, shape {y.shape}.",
            code="labels",
        )
    names = _names(class_names, columns.shape[1])
    texts = [
        SEPARATOR.join(number_text(value, name, f"`y`, image {row}") for value, name in zip(values, names, strict=True))
        for row, values in enumerate(columns.tolist())
    ]
    return texts, Labelling(task, names)


def _names(given: Sequence[str] | None, width: int) -> tuple[str, ...]:
    """The names given, or numbers."""
    if given is None:
        return tuple(str(k) for k in range(width))
    if len(set(given)) < len(given) or len(given) != width:
        raise _checks.complain("class_names", f"{width} different names, one per column of `y`", given)
    return tuple(given)
