"""`kertl baselines`, `kertl cross-validate` and `kertl learning-curve`: many trainings on one extraction."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from kertl._checks import complain
from kertl._terminal import working
from kertl.cli import _options as options
from kertl.cli._fields import read_fields, taking
from kertl.cli._images import DataOptions
from kertl.cli._quiet import start_keras
from kertl.recipe import Stage

Seed = Annotated[int, typer.Option(help="Seed of the split and of all draws.")]
CacheDir = Annotated[Path | None, typer.Option(help="Where features are cached for the next time.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the results as JSON and the picture.")]


@taking(options.BackboneOptions)
@taking(DataOptions, without=("separator",))
def baselines(
    data: options.DataPath,
    source: options.BackboneOptions,
    given: DataOptions,
    boundary: Annotated[
        list[str] | None, typer.Option(help="Take features after this layer group; repeatable.")
    ] = None,
    seed: Seed = 0,
    cache_dir: CacheDir = None,
    out: Out = None,
) -> None:
    """Show how well classical classifiers do on frozen features, by depth: what fine-tuning has to beat."""
    start_keras()
    import kertl

    loaded = source.read()
    images = given.to_train(data, loaded.input_shape[1:], seed)
    with working("Comparing classifiers"):
        found = kertl.baselines(loaded, images, boundaries=boundary, seed=seed, cache_dir=cache_dir)
    show(found, out, "baselines")


@taking(options.BackboneOptions)
@taking(DataOptions, without=("validation",))
def cross_validate(
    data: options.DataPath,
    source: options.BackboneOptions,
    given: DataOptions,
    folds: Annotated[int, typer.Option(help="Number of folds.", callback=options.whole("--folds", 2))] = 5,
    at: Annotated[
        str | None, typer.Option(help="Boundary: deep (by default), mid, or the name of a layer group.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of each training, 20 by default if the head is not solved.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate, 0.003 by default.")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="deep, mid, full, gradual, or a recipe.json: all its stages, instead of --at, --epochs and "
            "--learning-rate; --stage changes them."
        ),
    ] = None,
    stage: options.StageFields = None,
    dropout: Annotated[float, typer.Option(help="Share of units dropped in the head.")] = 0.3,
    seed: Seed = 0,
    cache_dir: CacheDir = None,
    out: Out = None,
) -> None:
    """Train once for each fold of the images, on features computed once; the test set is not used."""
    fields = read_fields("stage", stage, Stage)
    asked = {"at": at, "epochs": epochs, "learning_rate": learning_rate}
    asked = {name: value for name, value in asked.items() if value is not None}
    for name, value in asked.items() if recipe else ():
        raise complain(f"--{name.replace('_', '-')}", "left out with --recipe; change its stages with --stage", value)
    trained = {} if fields.get("solver") == "exact" else {"epochs": 20, "learning_rate": 3e-3}
    alone = {"at": "deep", "augment": "none", **trained, **asked, **fields}
    plan = options.read_recipe(recipe, fields) if recipe else Stage(**alone)
    start_keras()
    import kertl

    loaded = source.read()
    images = dataclasses.replace(given, validation=0.0).to_train(data, loaded.input_shape[1:], seed)
    head = kertl.Head(dropout=dropout)
    how: dict[str, Any] = {"folds": folds, "recipe": plan, "head": head, "seed": seed, "cache_dir": cache_dir}
    with working("Training once for each fold"):
        found = kertl.cross_validate(loaded, images, **how)
    show(found, out, "cross_validation")


@taking(options.BackboneOptions)
@taking(DataOptions, without=("separator",))
def learning_curve(
    data: options.DataPath,
    source: options.BackboneOptions,
    given: DataOptions,
    size: Annotated[list[int] | None, typer.Option(help="Number of training images; repeatable.")] = None,
    repeats: Annotated[
        int, typer.Option(help="How often each number of images is drawn.", callback=options.whole("--repeats", 1))
    ] = 3,
    seed: Seed = 0,
    cache_dir: CacheDir = None,
    out: Out = None,
) -> None:
    """Show how accuracy grows with the number of images, and whether more images or a larger model would help."""
    start_keras()
    import kertl

    loaded = source.read()
    images = given.to_train(data, loaded.input_shape[1:], seed)
    with working("Training on ever more images"):
        found = kertl.learning_curve(loaded, images, sizes=size, repeats=repeats, seed=seed, cache_dir=cache_dir)
    show(found, out, "learning_curve")


def show(found: Any, out: Path | None, name: str) -> None:
    """Print the table; write the JSON, and the picture if there is one, if requested."""
    from kertl.run_files import write_text

    typer.echo(found.table())
    if out is not None:
        write_text(out / f"{name}.json", found.to_json() + "\n")
        if hasattr(found, "plot"):
            found.plot(out / f"{name}.png")
        typer.echo(f"{out} holds {name}.json" + (f" and {name}.png." if hasattr(found, "plot") else "."))
