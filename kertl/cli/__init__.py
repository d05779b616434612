"""The command line: every command parses its arguments, calls one function, and prints.

Keras is imported by the commands that need it, so that `kertl --help` responds at once.
"""

from kertl.cli._app import run

__all__ = ["run"]
