"""`kertl diagnose`: what a training shows, and what to try next."""

from pathlib import Path
from typing import Annotated

import typer

from kertl._terminal import printable
from kertl.cli._options import TASKS, among, place_of_run, whole

Source = Annotated[
    Path,
    typer.Argument(
        metavar="RUN_OR_LOG",
        parser=place_of_run,
        help="Run directory or its address, CSV log of epochs, or folder of TensorBoard events.",
    ),
]


def diagnose(
    source: Source,
    task: Annotated[
        str | None,
        typer.Option(
            help="single_label, binary, multi_label or regression; a run knows it.", callback=among("--task", TASKS)
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes; a run knows it.", callback=whole("--classes", 2))
    ] = None,
    validation_images: Annotated[
        int | None,
        typer.Option(help="Number of validation images; a run knows it.", callback=whole("--validation-images", 1)),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a training shows, by what evidence, and what to try next."""
    import kertl

    found = kertl.diagnose(source, task=task, classes=classes, validation_images=validation_images)
    typer.echo(found.to_json() if as_json else printable(found.table(), lines=True), nl=as_json)
