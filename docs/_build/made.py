"""Parts of pages that are made from the code, one function for each `<!-- made: NAME -->`."""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import kertl
from kertl._codes import CODES
from kertl.cli._fields import documented
from kertl.recipe import Recipe, Stage


def modules() -> list[str]:
    """The names of the public modules."""
    return sorted(kertl._MODULES)


def public_names() -> str:
    """Every public name, where it is, and the first line that its docstring has."""
    rows = []
    for name in sorted(kertl._HOMES):
        home = kertl._HOMES[name]
        first = _cell((inspect.getdoc(getattr(kertl, name)) or "").partition("\n")[0])
        rows.append(f"| [`kertl.{name}`](modules/{home}.md#kertl.{home}.{name}) | {first} |")
    return "\n".join(["| name | what it is |", "|---|---|", *rows])


def stage() -> str:
    """The fields of a stage."""
    return _fields(Stage)


def recipe() -> str:
    """The fields of a recipe."""
    return _fields(Recipe)


def head() -> str:
    """The fields of a head."""
    return _fields(kertl.Head)


def codes() -> str:
    """The codes of errors, each with its cause, an example and the way out."""
    return "\n\n".join(
        f"## {name}\n\n{_plain(code.cause)}\n\n```text\n{code.example}\n```\n\n{_plain(code.way_out)}"
        for name, code in CODES.items()
    )


def commands() -> str:
    """The commands with their arguments and options."""
    import typer

    from kertl.cli._app import app

    group: Any = typer.main.get_command(app)
    return "\n\n".join(text for name in sorted(group.commands) for text in _command(name, group.commands[name]))


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"## kertl {name}"
    yield inspect.cleandoc(command.help or "").replace("\f", "")
    rows = [
        f"| {_names(one)} | {_default(one)} | {_cell(getattr(one, 'help', None) or '')} |"
        for one in command.params
        if one.name != "help"
    ]
    if rows:
        yield "\n".join(["| argument or option | default | what it says |", "|---|---|---|", *rows])


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    value = parameter.default
    if parameter.required:
        return "must be given"
    return "" if value is None or value is False or value == () or callable(value) else f"`{value}`"


def _fields(kind: Any) -> str:
    texts = documented(kind)
    rows = []
    for field in dataclasses.fields(kind):
        needed = field.default is dataclasses.MISSING
        default = "must be given" if needed else f"`{field.default!r}`"
        rows.append(f"| `{field.name}` | {default} | {_cell(texts[field.name])} |")
    return "\n".join(["| field | default | what it says |", "|---|---|---|", *rows])


def _cell(text: str) -> str:
    """A text as one cell of a table."""
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """A text without line ends, in which nothing is a tag of HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
