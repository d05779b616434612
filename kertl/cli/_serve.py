"""`kertl serve`: a trained model as a local page, and for programs."""

import importlib.util
from typing import Annotated, Any

import typer

from kertl._terminal import CONSOLE, working
from kertl.cli._ask import ModelPath
from kertl.cli._engine import Engine, export_for
from kertl.cli._quiet import start_keras
from kertl.errors import ArgumentError


def serve(
    model: ModelPath,
    host: Annotated[
        str, typer.Option(help="The address to listen on; other than 127.0.0.1, anyone who reaches it may ask.")
    ] = "127.0.0.1",
    engine: Engine = "auto",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.")] = 8000,
) -> None:
    """Answer for a trained model over HTTP: a page to drop images on, and POST /predict for programs."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "python_multipart")):
        raise ArgumentError(
            "`kertl serve` takes a web server. Received: none. Install it: pip install 'kertl[serve]'.",
            code="missing-package",
        )
    import uvicorn

    from kertl.report._server import application

    def whole() -> Any:
        start_keras()
        import kertl

        return kertl.load(model)

    with working("Loading the model"):
        loaded = export_for(model, engine) or whole()
    CONSOLE.print(f"Serving {loaded.name} on http://{host}:{port} until Ctrl-C.", markup=False, highlight=False)
    uvicorn.run(
        application(loaded, whole=whole),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        limit_concurrency=256,
    )
