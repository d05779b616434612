"""`python -m kertl`, and what the `kertl` command calls."""

import io
import sys

from kertl.cli import run


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold bytes that are not text
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
