"""Starting Keras without the messages that TensorFlow's libraries write while they load."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

from kertl._terminal import CONSOLE, working

if TYPE_CHECKING:
    from kertl.hardware import Scope


def start_keras() -> None:
    """Import Keras and look for devices; an import error is still raised.

    The messages come from below Python, before any setting of theirs is read, so only the file descriptor of stderr can
    hold them back. If the user has set TF_CPP_MIN_LOG_LEVEL below 3, they are shown.
    """
    if "keras" in sys.modules:
        return
    shown = int(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")) < 3
    with _starting() if shown else _stderr_away():
        import keras

        keras.distribution.list_devices()
        _import_the_rest()


def _import_the_rest() -> None:
    """Import what commands need besides Keras, which takes about as long as a second, while the spinner turns."""
    importlib.import_module("kertl.runner")


def _starting(file: TextIO | None = None) -> AbstractContextManager[None]:
    """Show that Keras starts, on stderr or where that has been kept."""
    console = CONSOLE if file is None else Console(file=file, quiet=CONSOLE.quiet)
    return working("Starting Keras", console=console)


@contextmanager
def hardware_entered(accelerator: str, precision: str, devices: int | None) -> "Iterator[Scope]":
    """Start Keras on the hardware that is asked for, as `kertl.hardware.setup`, before anything else uses devices."""
    shown = int(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")) < 3 or "keras" in sys.modules
    with _starting() if shown else _stderr_away():
        from kertl import hardware

        _import_the_rest()
        scope = hardware.setup(accelerator, precision, devices)
    if scope.workers > 1:
        CONSOLE.print(f"Worker {scope.choice.worker} of {scope.workers}: waiting until all of them are there.")
    with nullcontext() if shown else _stderr_away():
        scope.__enter__()
        import keras

        keras.distribution.list_devices()
    with ExitStack() as leaving:
        leaving.push(scope)
        yield scope


@contextmanager
def _stderr_away() -> Iterator[None]:
    """Discard what is written to the file descriptor of stderr, besides that Keras starts."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with open(kept, "w", closefd=False) as file, _starting(file):
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
