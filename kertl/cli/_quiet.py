"""Starting Keras without the messages that TensorFlow's libraries write while they load."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext


def start_keras() -> None:
    """Import Keras and look for devices; an import error is still raised.

    The messages come from below Python, before any setting of theirs is read, so only the file descriptor of stderr can
    hold them back. If the user has set TF_CPP_MIN_LOG_LEVEL below 3, they are shown.
    """
    if "keras" in sys.modules:
        return
    shown = int(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")) < 3
    with nullcontext() if shown else _stderr_away():
        import keras

        keras.distribution.list_devices()


@contextmanager
def _stderr_away() -> Iterator[None]:
    """Discard what is written to the file descriptor of stderr."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
