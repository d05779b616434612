"""`--engine` of `kertl predict` and `kertl serve`: a checked export of the run answers, without Keras, or the model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kertl._places import as_given
from kertl._terminal import CONSOLE, working
from kertl.cli._options import among
from kertl.errors import ArgumentError

if TYPE_CHECKING:
    from kertl.exporting import Exported

ENGINES = ("auto", "keras", "openvino", "onnx", "litert")
_NAMES = {"keras": "Keras", "openvino": "OpenVINO", "onnx": "ONNX Runtime", "litert": "LiteRT"}

Engine = Annotated[
    str,
    typer.Option(
        help="What answers: keras, or without importing it the run's checked export: openvino, onnx or litert; auto "
        "takes the first of these that is there and unchanged.",
        callback=among("--engine", ENGINES),
    ),
]


def export_for(path: Path, engine: str, needs_keras: str = "") -> "Exported | None":
    """The export that answers in place of the model, or None where Keras does; says which, and why.

    Args:
        path: A run directory or a model file.
        engine: One of `ENGINES`.
        needs_keras: What was asked for that only the model itself can do; empty for nothing.

    Raises:
        ArgumentError: If an export was asked for that cannot answer.
    """
    if engine == "keras":
        _say("keras")
        return None
    why = f"{needs_keras} needs it" if needs_keras else ""
    if not why and not path.is_dir():
        why = f"{as_given(path)} is not a run, whose exports are checked"
    if why and engine != "auto":
        raise ArgumentError(f"`--engine` must be 'keras' or 'auto' here: {why}. Received: --engine {engine}.")
    if not why:
        with working("Looking for an export"):
            from kertl.exporting import exported

            found, why = exported(path, engine)
        if found is not None:
            _say(found.engine, f"the export {as_given(found.path)}")
            return found
    _say("keras", why)
    return None


def _say(engine: str, why: str = "") -> None:
    more = f" ({why})" if why else ""
    CONSOLE.print(f"Answers: {_NAMES[engine]}{more}.", markup=False, highlight=False, soft_wrap=True)
