"""Public names of a package, loaded when first used, so that what needs no Keras does not import it."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazily(
    package: str, homes: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names are loaded from its modules when first used.

    Args:
        package: The name of the package.
        homes: The names that each module defines, by the module's name as the package imports it, such as "._load".
        modules: Modules of the package that are public themselves.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in home_of:
            value = getattr(importlib.import_module(home_of[name], package), name)
        elif name in modules:
            value = importlib.import_module(f".{name}", package)
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        vars(sys.modules[package])[name] = value
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted([*home_of, *modules])

    return __getattr__, __dir__
