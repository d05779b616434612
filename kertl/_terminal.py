"""Where progress is shown: on stderr, or in a notebook."""

from rich.console import Console

CONSOLE = Console(stderr=True)
"""One for all, so that what is shown while something else is shown finds a place below it."""


def shown(verbose: str | bool) -> bool:
    """Whether to show progress; "auto" does on a terminal and in a notebook."""
    return CONSOLE.file.isatty() or CONSOLE.is_jupyter if verbose == "auto" else bool(verbose)
