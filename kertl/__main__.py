"""`python -m kertl`, and what the `kertl` command calls."""

import gc
import io
import sys

from kertl.cli import run


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold bytes that are not text
    status = run(sys.argv[1:])
    gc.freeze()  # at its end Python would search all that Keras made for what to free, for more than a second
    sys.exit(status)


if __name__ == "__main__":
    main()
