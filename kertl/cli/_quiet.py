"""Starting Keras without the messages of TensorFlow's libraries, and without packages that it only looks for."""

import importlib
import importlib.abc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console

from kertl._terminal import CONSOLE, working

if TYPE_CHECKING:
    from kertl.hardware import Scope


def start_keras(*modules: str) -> None:
    """Import Keras and look for devices, then modules that take long, all under one spinner; import errors are raised.

    The messages come from below Python, before any setting of theirs is read, so only the file descriptor of stderr can
    hold them back. If the user has set TF_CPP_MIN_LOG_LEVEL below 3, they are shown.
    """
    if "keras" in sys.modules:
        return
    shown = int(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")) < 3
    with _starting() if shown else _stderr_away():
        with _without_extras():
            from kertl.hardware import devices

            devices()
        for module in modules:
            importlib.import_module(module)


def _starting(file: TextIO | None = None) -> AbstractContextManager[None]:
    """Show that Keras starts, on stderr or where that has been kept."""
    console = CONSOLE if file is None else Console(file=file, quiet=CONSOLE.quiet)
    return working("Starting Keras", console=console)


@contextmanager
def hardware_entered(accelerator: str, precision: str, devices: int | None) -> "Iterator[Scope]":
    """Start Keras on the hardware that is asked for, as `kertl.hardware.setup`, before anything else uses devices."""
    shown = int(os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")) < 3 or "keras" in sys.modules
    with _starting() if shown else _stderr_away():
        with _without_extras():
            from kertl import hardware

        importlib.import_module("kertl.runner")  # it takes about a second, while the spinner still turns
        scope = hardware.setup(accelerator, precision, devices)
    if scope.workers > 1:
        CONSOLE.print(f"Worker {scope.choice.worker} of {scope.workers}: waiting until all of them are there.")
    with nullcontext() if shown else _stderr_away():
        scope.__enter__()
        hardware.devices()
    with ExitStack() as leaving:
        leaving.push(scope)
        yield scope


@contextmanager
def _without_extras() -> Iterator[None]:
    """Let Keras and TensorFlow find none of the packages that they import only to see whether they are there.

    That is half of the time that they take to load. No command uses what needs them: Keras' wrappers for scikit-learn,
    its galleries, data frames in `fit`, and TensorFlow Lite's converter from JAX. Afterwards they are found as before.
    """
    hidden = _Hidden(("matplotlib", "pandas", "sklearn", *(() if _may_compute_in_jax() else ("jax",))))
    sys.meta_path.insert(0, hidden)
    try:
        yield
    finally:
        sys.meta_path.remove(hidden)


class _Hidden(importlib.abc.MetaPathFinder):
    """Finds these packages to be missing."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def _may_compute_in_jax() -> bool:
    """Whether Keras may be told to use another backend than TensorFlow, by the environment or its own file."""
    if named := os.environ.get("KERAS_BACKEND"):
        return named != "tensorflow"
    settings = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "keras.json"
    try:
        return bool(json.loads(settings.read_text())["backend"] != "tensorflow")
    except FileNotFoundError:
        return False
    except (OSError, ValueError, LookupError, TypeError):
        return True


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
