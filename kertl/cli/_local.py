"""Paths of commands are not empty, and on this machine unless they say that an address will do."""

import functools
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand
from typer.models import ParameterInfo

from kertl._checks import complain
from kertl._places import is_address

_ADVICE = "Copy what is read from there first, and what is written afterwards: `gcloud storage cp -r`, `aws s3 sync`."


class LocalPaths(TyperCommand):
    """A command that refuses empty texts where a `Path` is expected, and addresses where its option has no parser.

    As a path, an empty text, such as that of a variable of the shell that is not set, would be the current directory,
    and `gs://bucket` would be `gs:/bucket`; so it looks at what was typed.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, if all paths are what they may be."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        local = _paths(self.callback) if self.callback is not None else {}
        for one in self.params:
            value = given.get(one.name or "")
            for path in (value if isinstance(value, list | tuple) else [value]) if one.name in local else ():
                name = str(one.metavar).rstrip(".") if one.param_type_name == "argument" else one.opts[0]
                if path == "":
                    raise complain(name, "a path", path, "Pass . for the current directory.")
                if local[str(one.name)] and is_address(path):
                    raise complain(name, "a path on this machine, not an address", path, _ADVICE)
        return super().parse_args(ctx, args)


@functools.cache
def _paths(command: Callable[..., Any]) -> dict[str, bool]:
    """The arguments that are paths, and whether each has to be on this machine."""
    hints = typing.get_type_hints(command, include_extras=True)
    found = {name: _path(hint) for name, hint in hints.items()}
    return {name: local for name, local in found.items() if local is not None}


def _path(hint: Any) -> bool | None:
    """Whether what is expected has to be on this machine; None if it is no path."""
    kind, *told = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else [hint]
    own = any(isinstance(one, ParameterInfo) and one.parser is not None for one in told)
    return not own if kind is Path or Path in typing.get_args(kind) else None
