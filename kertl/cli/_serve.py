"""`kertl serve`: a trained model as a local page, and for programs."""

import functools
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kertl._terminal import CONSOLE, working
from kertl.cli._ask import ModelPath
from kertl.cli._engine import Engine, export_for
from kertl.cli._quiet import start_keras
from kertl.errors import ArgumentError

if TYPE_CHECKING:
    import keras

    from kertl.report._gallery import Gallery


def serve(
    model: ModelPath,
    host: Annotated[
        str, typer.Option(help="The address to listen on; other than 127.0.0.1, anyone who reaches it may ask.")
    ] = "127.0.0.1",
    engine: Engine = "auto",
    root: Annotated[
        Path | None, typer.Option(help="The folder that the files in data.csv are relative to, if it was moved.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = 8000,
) -> None:
    """Answer for a trained model over HTTP: a page to drop images on, and POST /predict for programs."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "python_multipart")):
        raise ArgumentError(
            "`kertl serve` takes a web server. Received: none. Install it: pip install 'kertl[serve]'.",
            code="missing-package",
        )
    with working("Starting"):
        import uvicorn

        from kertl.report._server import application

    @functools.cache
    def whole() -> "tuple[keras.Model, Gallery | None]":
        start_keras()
        import kertl

        with working("Loading the model"):
            own = kertl.load(model)
        return own, _gallery(own, model, root)

    answering: Any = export_for(model, engine) or whole()[0]
    CONSOLE.print(f"Serving {answering.name} on http://{host}:{port} until Ctrl-C.", markup=False, highlight=False)
    uvicorn.run(
        application(answering, whole=whole),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        limit_concurrency=256,
    )


def _gallery(model: "keras.Model", path: Path, root: Path | None) -> "Gallery | None":
    """The training images of a run to look among; None, with the reason, if there are none."""
    from kertl.evaluation import run_images
    from kertl.model import model_info
    from kertl.report._gallery import MOST_SEARCHED, Gallery

    info = model_info(model)
    if not path.is_dir() or info is None:
        why = "a model alone has none, a run directory has"
    else:
        parts, why = run_images(path, info, root)
        if "train" in parts and parts["train"].num_examples <= MOST_SEARCHED:
            with working("Looking at the training images"):
                return Gallery(model, parts["train"], path / "features")
        why = why or f"there are none, or more than {MOST_SEARCHED:,}"
    CONSOLE.print(f"No nearest training images are shown: {why}.", markup=False, highlight=False)
    return None
