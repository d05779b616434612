"""Options that set fields of a dataclass, such as `--stage FIELD=VALUE`; the value `help` shows its docstring."""

import dataclasses
import inspect
import json
import re
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
