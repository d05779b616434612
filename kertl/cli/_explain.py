"""`kertl explain`: what the code at the end of a message stands for."""

from typing import Annotated

import typer

from kertl._checks import complain, nearest
from kertl._codes import CODES
from kertl.cli._quiet import start_keras


def explain(
    code: Annotated[
        str | None,
        typer.Argument(metavar="CODE", help="The code of a message; without one, those of errors are listed."),
    ] = None,
) -> None:
    """Say what the code at the end of a message stands for: of an error its cause, an example, and the way out."""
    if code is None:
        for name, one in CODES.items():
            typer.echo(f"{name:17} {one.cause}")
        return
    name = code.strip("[]")
    if name in CODES:
        found = CODES[name]
        typer.echo(f"{found.cause}\n\nFor example:\n    {found.example}\n\nWay out: {found.way_out}")
    else:
        typer.echo(_of_warning(name))


def _of_warning(name: str) -> str:
    """What a rule of `kertl.check` says; these are read with Keras."""
    start_keras()
    from kertl.compatibility import RULES

    for rule in RULES:
        if rule.name == name:
            return f"{rule.clash}.\n\n{rule.why}\n\nWay out: {rule.advice}\n\nSource: {rule.source}"
    rules = [*CODES, *(rule.name for rule in RULES)]
    raise complain("CODE", "one that `kertl explain` lists, or a rule", name, nearest(name, rules), code="choice")
