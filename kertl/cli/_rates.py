"""`kertl lr-find`: learning rates for a model and images."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from kertl._checks import integer, number
from kertl._terminal import working
from kertl.cli import _options as options
from kertl.cli._fields import read_fields, taking
from kertl.cli._images import DataOptions
from kertl.cli._quiet import start_keras
from kertl.recipe import Stage


@taking(options.BackboneOptions)
@taking(DataOptions)
def lr_find(
    data: options.DataPath,
    source: options.BackboneOptions,
    given: DataOptions,
    at: Annotated[str, typer.Option(help="Boundary: deep, mid, full, or the name of a layer group.")] = "deep",
    stage: options.StageFields = None,
    repeats: Annotated[
        int, typer.Option(help="How often the test is run.", callback=options.whole("--repeats", 1))
    ] = 3,
    start: Annotated[float, typer.Option(help="Lowest learning rate.")] = 1e-7,
    end: Annotated[float, typer.Option(help="Highest learning rate.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Steps from the lowest to the highest.")] = 100,
    dropout: Annotated[float, typer.Option(help="Share of units dropped in the head.")] = 0.3,
    seed: Annotated[int, typer.Option(help="Seed of split, order, head and dropout.")] = 0,
    cache_dir: Annotated[Path | None, typer.Option(help="Where features are cached for the next time.")] = None,
    out: Annotated[Path, typer.Option(help="The picture file; its suffix decides the format.")] = Path("lr.png"),
) -> None:
    """Suggest a learning rate for a stage, by a short training at ever higher rates that leaves the model unchanged.

    The test uses what `kertl train` would train there: the stage of the named recipes at that depth, with the fields
    that `--stage` changes.
    """
    number("--end", end, above=number("--start", start, above=0))
    integer("--steps", steps, at_least=20)
    fields = read_fields("stage", stage, Stage)
    for name, value in fields.items():  # each by itself, since what they are set in depends on the model
        Stage(**{"at": at, name: value})
    start_keras("kertl.range_test")
    import kertl
    from kertl.groups import find_chain
    from kertl.range_test import stage_range_test
    from kertl.training import usual_stage

    loaded = source.read(seed)
    images = given.to_train(data, loaded.input_shape[1:], seed)
    with working("Testing learning rates"):
        model = kertl.build(
            loaded,
            class_names=images.class_names,
            task=images.task,
            head=kertl.Head(dropout=dropout),
            target_scaling=images.target_scaling,
        )
        tested = dataclasses.replace(usual_stage(find_chain(model), at), **fields)
        found = stage_range_test(
            model, images, tested, repeats=repeats, seed=seed, cache_dir=cache_dir, start=start, end=end, steps=steps
        )
        found.plot(out)
    typer.echo(f"Learning rates for AdamW at {at!r}\n{found.table()} The curve is in {out}.")
