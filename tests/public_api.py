"""The public names of kertl with their signatures, as text: `python -m tests.public_api` writes public_api.txt."""

import importlib
import inspect
import re
import types
from pathlib import Path

import kertl

FILE = Path(__file__).with_name("public_api.txt")


def described():
    """A line for each public name, and for each public method of a class of kertl."""
    lines = [f"kertl.{name} = kertl.{kertl._HOMES[name]}.{name}" for name in sorted(kertl._HOMES)]
    for module_name in sorted(kertl._MODULES):
        module = importlib.import_module(f"kertl.{module_name}")
        for name in sorted(module.__all__):
            lines += _lines(f"kertl.{module_name}.{name}", getattr(module, name))
    return "\n".join(lines) + "\n"


def _lines(path, value):
    if inspect.isclass(value):
        yield f"class {path}{_signature(value)}"
        for name, member in sorted(vars(value).items()):
            if not name.startswith("_") and (callable(member) or isinstance(member, (classmethod, staticmethod))):
                yield f"    {name}{_signature(getattr(value, name))}"
    elif callable(value):
        yield f"{path}{_signature(value)}"
    else:
        yield f"{path}: {type(value).__name__}"


def _signature(value):
    """Names, kinds and defaults of the parameters; annotations change with versions of Python."""
    if isinstance(value, types.GenericAlias):  # of which versions of Python say different things
        return "(...)"
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    text = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r"<[^<]*(?:<\w+>)?[^<>]* at 0x[0-9a-f]+>", "<...>", text)


if __name__ == "__main__":
    FILE.write_text(described(), encoding="utf-8")
