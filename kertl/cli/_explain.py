"""`kertl explain`: what the code at the end of an error message stands for."""

from typing import Annotated

import typer

from kertl._checks import complain, nearest
from kertl._codes import CODES


def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="The code; without one, all are listed.")] = None,
) -> None:
    """Say what the code at the end of an error message stands for: cause, example, way out."""
    if code is None:
        for name, one in CODES.items():
            typer.echo(f"{name:17} {one.cause}")
        return
    found = CODES.get(code.strip("[]"))
    if found is None:
        raise complain("CODE", "one that `kertl explain` lists", code, nearest(code, CODES), code="choice")
    typer.echo(f"{found.cause}\n\nFor example:\n    {found.example}\n\nWay out: {found.way_out}")
