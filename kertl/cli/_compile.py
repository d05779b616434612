"""`kertl compile`: the training steps of a run or a recipe, compiled for a TPU that need not be there."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kertl.cli import _options as options
from kertl.cli._quiet import start_keras
from kertl.errors import ArgumentError
from kertl.recipe import NAMED


def compile_run(
    run: Annotated[str, typer.Argument(metavar="RUN_OR_RECIPE", help="A run directory, a recipe.json or its name.")],
    topology: Annotated[str, typer.Option(help="The TPU, as libtpu names it: v5e:2x2, v5e:4x4, v6e:2x2.")] = "v5e:2x2",
    backbone: Annotated[str, typer.Option(help="For a recipe: the Application.")] = "MobileNetV2",
    image_size: Annotated[
        int, typer.Option(help="For a recipe: side of the images in pixels.", callback=options.check_side)
    ] = 224,
    classes: Annotated[int, typer.Option(help="For a recipe: how many classes.")] = 2,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Images per step, of all chips together; by default the run's, or 128.",
            callback=options.whole("--batch-size", 1),
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="float32 or mixed_bfloat16.", callback=options.among("--precision", ("float32", "mixed_bfloat16"))
        ),
    ] = "mixed_bfloat16",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compile what a run or a recipe trains for a TPU that need not be there. Nothing is run: it says nothing of speed.

    It takes seconds for a frozen network, and minutes where all of it trains. It needs the extra `tpu-compile`.
    """
    start_keras()
    from kertl.tpu import compile_for_tpu

    if Path(run).is_dir():
        found = compile_for_tpu(run, topology, batch_size=batch_size, precision=precision)
    else:
        if run not in NAMED and not run.endswith(".json"):
            raise ArgumentError(
                f"`RUN_OR_RECIPE` must be a run directory, a recipe.json, or one of {', '.join(NAMED)}. "
                f"Received: {run!r}."
            )
        build = {"backbone": backbone, "num_classes": classes, "input_shape": (image_size, image_size, 3)}
        recipe = options.read_recipe(run, {})
        found = compile_for_tpu(recipe, topology, build=build, batch_size=batch_size, precision=precision)
    text = found.to_json() if json else found.table()
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
