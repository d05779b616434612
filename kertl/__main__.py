"""`python -m kertl`, and what the `kertl` command calls."""

import sys

from kertl.cli import run


def main() -> None:
    """Run the command line."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
