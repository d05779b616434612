"""Paths of commands are on this machine, unless they say that an address will do."""

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
    """A command that refuses addresses where a `Path` is expected and its option has no parser of its own.

    As a path, `gs://bucket` would be `gs:/bucket`, so it looks at what was typed.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, if all local paths are local."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        local = _local(self.callback) if self.callback is not None else frozenset()
        for one in self.params:
            value = given.get(one.name or "")
            for path in value if isinstance(value, list | tuple) else [value]:
                if one.name in local and is_address(path):
                    name = str(one.metavar).rstrip(".") if one.param_type_name == "argument" else one.opts[0]
                    raise complain(name, "a path on this machine, not an address", path, _ADVICE)
        return super().parse_args(ctx, args)


@functools.cache
def _local(command: Callable[..., Any]) -> frozenset[str]:
    """The arguments that are local paths."""
    hints = typing.get_type_hints(command, include_extras=True)
    return frozenset(name for name, hint in hints.items() if _is_local(hint))


def _is_local(hint: Any) -> bool:
    kind, *told = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else [hint]
    own = any(isinstance(one, ParameterInfo) and one.parser is not None for one in told)
    return not own and (kind is Path or Path in typing.get_args(kind))
