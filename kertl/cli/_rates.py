"""`kertl lr-find`: learning rates for a model and images."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from kertl._checks import integer
from kertl.cli import _options as options
from kertl.cli._fields import read_fields
from kertl.cli._quiet import start_keras
from kertl.recipe import Stage


def lr_find(
    data: options.DataPath,
    backbone: options.Backbone = "EfficientNetV2B0",
    task: options.Task = "single_label",
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = None,
    image_size: options.ImageSize = None,
    resize: options.Resize = "stretch",
    channels: options.Channels = None,
    at: Annotated[str, typer.Option(help="Boundary: deep, mid, full, or the name of a layer group.")] = "deep",
    stage: options.StageFields = None,
    repeats: Annotated[
        int,
        typer.Option(
            help="How often the test is run.",
            callback=options.checked(lambda times: integer("--repeats", times, at_least=1)),
        ),
    ] = 3,
    start: Annotated[float, typer.Option(help="Lowest learning rate.")] = 1e-7,
    end: Annotated[float, typer.Option(help="Highest learning rate.")] = 10.0,
    steps: Annotated[int, typer.Option(help="Steps from the lowest to the highest.")] = 100,
    dropout: Annotated[float, typer.Option(help="Share of units dropped in the head.")] = 0.3,
    batch_size: options.BatchSize = 32,
    seed: Annotated[int, typer.Option(help="Seed of split, order, head and dropout.")] = 0,
    validation: options.Validation = 0.15,
    test: options.Test = 0.15,
    image_column: options.ImageColumn = "file",
    label_column: options.LabelColumn = None,
    separator: options.Separator = None,
    group_column: options.GroupColumn = None,
    split_column: options.SplitColumn = None,
    root: options.Root = None,
    check_again: options.CheckAgain = False,
    cache_dir: Annotated[Path | None, typer.Option(help="Where features are cached for the next time.")] = None,
    out: Annotated[Path, typer.Option(help="The picture file; its suffix decides the format.")] = Path("lr.png"),
) -> None:
    """Suggest a learning rate for a stage, by a short training at ever higher rates that leaves the model unchanged.

    The test uses what `kertl train` would train there: the stage of the named recipes at that depth, with the fields
    that `--stage` changes.
    """
    fields = read_fields("stage", stage, Stage)
    for name, value in fields.items():  # each by itself, since what they are set in depends on the model
        Stage(**{"at": at, name: value})
    start_keras()
    import kertl
    from kertl.groups import find_chain
    from kertl.range_test import stage_range_test
    from kertl.training import usual_stage

    kertl.LRRangeTest(start, end, steps=steps)  # refuses what is out of range before anything is loaded
    loaded = options.read_backbone(backbone, weights, image_size, seed, channels=channels, preprocessing=preprocessing)
    images = options.read_data(
        data,
        loaded.input_shape[1:3],
        resize=resize,
        channels=loaded.input_shape[3],
        validation=validation,
        test=test,
        seed=seed,
        batch_size=batch_size,
        task=task,
        image_column=image_column,
        label_columns=label_column,
        separator=separator,
        group_column=group_column,
        split_column=split_column,
        root=root,
        check_again=check_again,
    )
    model = kertl.build(
        loaded,
        class_names=images.class_names,
        task=task,
        head=kertl.Head(dropout=dropout),
        target_scaling=images.target_scaling,
    )
    tested = dataclasses.replace(usual_stage(find_chain(model), at), **fields)
    found = stage_range_test(
        model, images, tested, repeats=repeats, seed=seed, cache_dir=cache_dir, start=start, end=end, steps=steps
    )
    found.plot(out)
    typer.echo(f"Learning rates for AdamW at {at!r}\n{found.table()} The curve is in {out}.")
