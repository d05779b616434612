"""`python -m kertl`, and what the `kertl` command calls."""

import os
import sys


def main() -> None:
    """Run the command line; TensorFlow's start-up messages are silent unless asked for."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kertl.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
