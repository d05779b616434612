"""`kertl search`: which backbone, boundary, head and rates do best; and what a search has found so far."""

import dataclasses
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kertl.cli import _options as options
from kertl.cli._fields import taking
from kertl.cli._images import DataOptions
from kertl.cli._quiet import start_keras

if TYPE_CHECKING:
    from kertl.search import SearchResult

REPORT = "report"
STRATEGIES = ("random", "grid", "bayesian", "hyperband")

What = Annotated[
    str,
    typer.Argument(
        metavar="DIR_OR_CSV", help="A folder with one folder of images per class, or a CSV table; or the word `report`."
    ),
]
Directory = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="After `report`: the folder of a search, running or finished.")
]


@taking(DataOptions)
def search(
    data: What,
    given: DataOptions,
    directory: Directory = None,
    strategy: Annotated[
        str,
        typer.Option(
            help="random, grid, bayesian or hyperband.",
            callback=options.among("--strategy", STRATEGIES),
        ),
    ] = "random",
    trials: Annotated[
        int, typer.Option(help="The largest number of trials.", callback=options.whole("--trials", 1))
    ] = 30,
    backbone: Annotated[
        list[str] | None,
        typer.Option(
            help="As in `kertl train`, EfficientNetV2B0 by default; repeatable.",
            callback=options.checked(options.check_backbones),
        ),
    ] = None,
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = None,
    image_size: Annotated[int, typer.Option(help="Side in pixels.", callback=options.check_side)] = 224,
    channels: options.Channels = None,
    epochs: Annotated[
        int, typer.Option(help="Epochs of each trial's last stage.", callback=options.whole("--epochs", 1))
    ] = 10,
    objective: Annotated[str | None, typer.Option(help="A metric such as val_loss; accuracy by default.")] = None,
    folds: Annotated[
        int | None,
        typer.Option(help="Use the mean over this many folds as objective.", callback=options.whole("--folds", 2)),
    ] = None,
    confirm: Annotated[
        int,
        typer.Option(
            help="Train this many of the best three more times, and rank by that.",
            callback=options.whole("--confirm", 0),
        ),
    ] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the split, the trials and all draws.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the search; the same command again resumes it.")] = Path(
        "searches/1"
    ),
    cache_dir: Annotated[Path | None, typer.Option(help="Where features are cached; in --out by default.")] = None,
    tuner_id: Annotated[
        str | None, typer.Option(help="Several processes: `chief` for one of them, other names for the workers.")
    ] = None,
    oracle_ip: Annotated[str, typer.Option(help="Several processes: where the chief listens.")] = "127.0.0.1",
    oracle_port: Annotated[int, typer.Option(help="Several processes: its port, which asks for no password.")] = 8000,
) -> None:
    """Search for the backbone, boundary, head and rates that do best; `kertl search report DIR` shows the results."""
    console = Console()
    if data == REPORT:
        if directory is None:
            raise typer.BadParameter("`kertl search report` must be followed by the folder of a search.")
        _report(directory, console)
        return
    if directory is not None:
        raise typer.BadParameter(f"DIR must come after `report` alone. Received: {directory}.")
    options.there("DIR_OR_CSV")(data)
    if tuner_id is not None:
        address = {"TUNER_ID": tuner_id, "ORACLE_IP": oracle_ip, "ORACLE_PORT": str(oracle_port)}
        os.environ.update({f"KERASTUNER_{name}": value for name, value in address.items()})
    start_keras("kertl.search._tune")
    import kertl

    images = given.to_train(data, (image_size, image_size, channels or 3), seed)
    backbones: list[Any] = backbone or ["EfficientNetV2B0"]
    if preprocessing is not None:
        told: dict[str, Any] = {"channels": channels, "preprocessing": preprocessing}
        backbones = [options.read_backbone(name, weights, image_size, seed, **told) for name in backbones]
    found = kertl.search.tune(
        images,
        backbones=backbones,
        weights=None if weights == "none" else weights,
        out=out,
        strategy=strategy,
        max_trials=trials,
        epochs=epochs,
        objective=objective,
        folds=folds,
        seed=seed,
        confirm=confirm,
        cache_dir=cache_dir,
        verbose=True,
    )
    _print_best(found, console)


def _report(folder: Path, console: Console) -> None:
    """The leaderboard of a search, and the importance of its hyperparameters."""
    start_keras("kertl.search._result")
    import kertl

    found = kertl.search.read(folder)
    console.print(found.table(most=20, width=console.width), markup=False, highlight=False, soft_wrap=True)
    _print_best(found, console)
    found.write()


def _print_best(found: "SearchResult", console: Console) -> None:
    from kertl.search import Importance, confirmation, described

    if len(found.completed) >= Importance.FEWEST:
        importance = found.importance()
        console.print(f"Importance ({importance.note}):", highlight=False)
        for name, mean in zip(importance.names, importance.means, strict=True):
            console.print(f"  {name}: {mean:.3f}", highlight=False)
    if found.completed:
        best = found.completed[0]
        twice = f", trained again {confirmation(best)}" if best.again else ""
        metric = f"{found.objective} {best.value:.4f}{twice}"
        console.print(f"Best: trial {best.name}, {metric}: {described(best.values)}.")
        console.print(f"{found.folder} holds leaderboard.json and recipe.json.", highlight=False)
        console.print("To train it, with the options of this search for images, split and weights:")
        console.print(f"  {_command(found)}", markup=False, highlight=False, soft_wrap=True)


def _command(found: "SearchResult") -> str:
    """What trains the best candidate."""
    import kertl
    from kertl.search import RECIPE

    best = found.best
    words = ["kertl", "train", "DIR_OR_CSV", "--out", "RUN", "--backbone", best.backbone]
    words += ["--recipe", str(found.folder / RECIPE)]
    for name, value in dataclasses.asdict(best.head).items():
        if value != getattr(kertl.Head(), name):
            words += ["--head", f"{name}={json.dumps(value)}"]
    return shlex.join(words)
