"""Options that set fields of a dataclass: one for each field, or all in one, such as `--stage FIELD=VALUE`."""

import dataclasses
import functools
import inspect
import json
import re
import typing
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from kertl._checks import complain, nearest

HELP = "help"


def documented(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass says about each of its fields, under "Attributes"."""
    section = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def showing(name: str) -> Callable[[list[str] | None], list[str] | None]:
    """What shows the fields of a public dataclass of kertl and exits, if `help` is among the values."""

    def show(given: list[str] | None) -> list[str] | None:
        if HELP not in (given or ()):
            return given
        import kertl

        kind = getattr(kertl, name)
        defaults = {field.name: field.default for field in dataclasses.fields(kind)}
        table = Table(title=f"Fields of kertl.{name}", title_justify="left", show_lines=True)
        for heading in ("field", "default", "meaning"):
            table.add_column(heading, overflow="fold")
        for field, text in documented(kind).items():
            default = defaults[field]
            table.add_row(field, "" if default is dataclasses.MISSING else repr(default), text)
        Console(markup=False, highlight=False).print(table)
        raise typer.Exit

    return show


def read_fields(option: str, given: list[str] | None, kind: type) -> dict[str, Any]:
    """The fields of a dataclass from an option, each value as JSON if it is JSON, else as text."""
    names = [field.name for field in dataclasses.fields(kind)]
    values: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or name not in names:
            raise complain(
                f"--{option}", f"FIELD=VALUE, with a field of kertl.{kind.__name__}", text, nearest(name, names)
            )
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def taking(kind: type, *, without: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put the fields of a dataclass in the place of the argument of that type, as options of a command.

    Args:
        kind: A dataclass whose fields have defaults and are annotated as Typer's options are.
        without: Fields that the command does not offer; they keep their defaults.
    """

    def given(command: Callable[..., None]) -> Callable[..., None]:
        types = typing.get_type_hints(kind, include_extras=True)
        inner = [
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=types[one.name])
            for one in dataclasses.fields(kind)
            if one.name not in without
        ]
        hints = typing.get_type_hints(command, include_extras=True)
        (place,) = (name for name, hint in hints.items() if hint is kind)
        parameters: list[inspect.Parameter] = []
        for name, one in inspect.signature(command).parameters.items():
            own = one.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += inner if name == place else [own]

        @functools.wraps(command)
        def called(**options_given: Any) -> None:
            values = {one.name: options_given.pop(one.name) for one in inner}
            command(**{place: kind(**values)}, **options_given)

        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        return called

    return given
