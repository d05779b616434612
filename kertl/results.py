"""One shape for all results: a table, a picture where it helps, JSON and back, a short `repr`.

A result is a frozen dataclass that derives from `Result` and has a `table`. JSON has its fields: tuples and arrays
become lists, paths become text, dataclasses become objects, and NaN and infinity, which JSON does not have, become
null; `from_json` reads the types of the fields.
"""

import base64
import dataclasses
import html
import io
import json
import math
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table

from kertl._checks import complain, parse_json

__all__ = ["LEFT_OUT", "Result", "called", "plain", "table_text"]

LEFT_OUT: Mapping[str, Any] = {"json": None}
"""Metadata of a field that JSON cannot hold, such as a model: `dataclasses.field(metadata=LEFT_OUT)`."""


def called(key: str) -> Mapping[str, Any]:
    """Metadata of a field that has another name in JSON."""
    return {"json": key}


class Result(ABC):
    """The result of a function of kertl.

    Derive a frozen dataclass with `repr=False` from it and give it a `table`, and where a picture says more a
    `plot(path=None)` that returns a figure. Properties that are computed from the fields and also belong in the JSON go
    into `DERIVED`.

    Example:
        >>> import dataclasses
        >>> from kertl.results import Result
        >>> @dataclasses.dataclass(frozen=True, repr=False)
        ... class Count(Result):
        ...     images: int
        ...     names: tuple[str, ...]
        ...     def table(self):
        ...         return f"{self.images} images of {', '.join(self.names)}"
        >>> count = Count(3, ("cat", "dog"))
        >>> print(count)
        3 images of cat, dog
        >>> Count.from_json(count.to_json()) == count
        True
    """

    DERIVED: ClassVar[tuple[str, ...]] = ()
    """Names of properties that are in the JSON besides the fields, and are computed again when it is read."""

    @abstractmethod
    def table(self) -> str:
        """The result as text, for a terminal."""

    def to_dict(self) -> dict[str, Any]:
        """The result as numbers, text, lists and dictionaries, as JSON has them."""
        derived = {name: plain(getattr(self, name)) for name in self.DERIVED}
        return {**_fields(self), **derived}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **left_out: Any) -> Self:
        """The result from what `to_dict` gave.

        Args:
            values: The values by field; derived properties are ignored.
            **left_out: Fields that JSON cannot hold, such as a model; without, they are None.

        Raises:
            ValueError: If a field is missing, or there is one that the result does not have.
        """
        return _built(cls, values, left_out)

    def to_json(self) -> str:
        """The result as JSON text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, **left_out: Any) -> Self:
        """The result from JSON text, as `from_dict`.

        Raises:
            ValueError: If it is not what `to_json` gives.
        """
        values = parse_json(text)
        if not isinstance(values, dict):
            raise complain("text", "a JSON object", values)
        return cls.from_dict(values, **left_out)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        shown = [f"{field.name}={_short(getattr(self, field.name))}" for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        text = f"{type(self).__name__}({', '.join(shown)})"
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 2]}…)"

    def _repr_html_(self) -> str:
        """The table, and the picture if there is one, for a notebook."""
        return f"<pre>{html.escape(self.table())}</pre>{_picture(self)}"


def plain(value: Any) -> Any:
    """A value as JSON has it.

    Raises:
        TypeError: If JSON has no such thing, such as a model.
    """
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if hasattr(value, "to_json"):
        return json.loads(value.to_json())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"JSON has no {type(value).__name__}. Mark the field with `metadata=kertl.results.LEFT_OUT`.")


def table_text(table: Table, width: int = 80) -> str:
    """A table of rich as text, ending in a line break.

    Text on the left gives way to numbers, which are never cut: a table of many numbers is wider.
    """
    text = io.StringIO()
    console = Console(file=text, width=width, markup=False, highlight=False)
    ranges = [_widths(column, console) for column in table.columns]
    chosen = [least for least, _ in ranges]
    room = width - 1 - sum(3 + one for one in chosen)
    while room > 0 and (narrow := [at for at, (_, most) in enumerate(ranges) if chosen[at] < most][:room]):
        for at in narrow:
            chosen[at] += 1
        room -= len(narrow)
    for column, own in zip(table.columns, chosen, strict=True):
        column.width = own
    console.width = max(width, sum(3 + one for one in chosen) + 1)
    console.print(table)
    return text.getvalue()


def _widths(column: Column, console: Console) -> tuple[int, int]:
    """The least and the most characters that the cells of a column take."""
    options = console.options.update_width(_WIDEST)
    heading, *cells = (Measurement.get(console, options, cell) for cell in (column.header, *column.cells))
    longest = max((cell.maximum for cell in cells), default=0)
    least = max(heading.maximum if column.no_wrap else heading.minimum, longest)
    return least if column.justify == "right" else min(_ENOUGH, least), max(heading.maximum, longest)


_WIDEST = 1000
_ENOUGH = 20  # characters of a text
_LONGEST = 160  # characters of a repr


def _key(field: "dataclasses.Field[Any]") -> str | None:
    """What JSON calls a field; None if it leaves it out."""
    return typing.cast("str | None", field.metadata.get("json", field.name))


def _fields(result: Any) -> dict[str, Any]:
    pairs = ((_key(field), field.name) for field in dataclasses.fields(result))
    return {key: plain(getattr(result, name)) for key, name in pairs if key is not None}


def _required(kind: Any) -> set[str]:
    """What JSON must have of a dataclass."""
    without = (dataclasses.MISSING, dataclasses.MISSING)
    given = [field for field in dataclasses.fields(kind) if (field.default, field.default_factory) == without]
    return {key for field in given if (key := _key(field)) is not None}


def _built(kind: Any, values: Any, left_out: Mapping[str, Any]) -> Any:
    """A dataclass from plain values."""
    known = {key for field in dataclasses.fields(kind) if (key := _key(field)) is not None}
    if not isinstance(values, Mapping) or not _required(kind) <= values.keys() <= known | {
        *getattr(kind, "DERIVED", ())
    }:
        accepted = f"an object with {', '.join(sorted(_required(kind)))}, and no names but {', '.join(sorted(known))}"
        raise complain(kind.__name__, accepted, sorted(values) if isinstance(values, Mapping) else values)
    hints = typing.get_type_hints(kind)
    arguments = {}
    for field in dataclasses.fields(kind):
        key = _key(field)
        if key is None:
            arguments[field.name] = left_out.get(field.name)
        elif key in values:
            arguments[field.name] = _typed(hints[field.name], values[key])
    return kind(**arguments)


def _typed(hint: Any, value: Any) -> Any:
    """A plain value as one of the type that a field has."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _of_union(arguments, value)
    if origin in (tuple, list, Sequence):
        of = arguments if origin is tuple and arguments[-1] is not Ellipsis else arguments[:1] * len(value)
        return (list if origin is list else tuple)(_typed(kind, each) for kind, each in zip(of, value, strict=True))
    if origin in (dict, Mapping):
        return {name: _typed(arguments[1], each) for name, each in value.items()}
    if hint is np.ndarray or origin is np.ndarray:
        array = np.asarray(value)
        return array.astype(float) if array.dtype == object else array
    if hint is float and value is None:
        return math.nan
    if hint is Path:
        return Path(value)
    if hasattr(hint, "from_json"):
        return hint.from_json(json.dumps(value))
    return _built(hint, value, {}) if dataclasses.is_dataclass(hint) else value


def _of_union(kinds: Sequence[Any], value: Any) -> Any:
    """A plain value as the first type of a union that fits; text and numbers are unchanged."""
    if value is None or isinstance(value, (bool, int, float)) or (isinstance(value, str) and str in kinds):
        return value
    return _typed(next(kind for kind in kinds if kind not in (type(None), bool, int, float, str)), value)


def _short(value: Any) -> str:
    """A value in a few characters; for many things, their number."""
    if isinstance(value, (str, bool, int, type(None))):
        return repr(value) if len(repr(value)) <= 40 else f"{str(value)[:36]!r}…"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray):
        return f"<array {value.shape}>"
    if isinstance(value, (Sequence, Mapping)):
        return f"<{len(value)}>"
    return f"<{getattr(value, 'name', type(value).__name__)}>" if not isinstance(value, Path) else repr(str(value))


def _picture(result: Any) -> str:
    """The picture of a result as HTML; nothing if it has none."""
    if not hasattr(result, "plot"):
        return ""
    picture = io.BytesIO()
    result.plot().savefig(picture, format="png", dpi=150)
    content = base64.b64encode(picture.getvalue()).decode()
    return f'<img src="data:image/png;base64,{content}" style="max-width: 100%">'
