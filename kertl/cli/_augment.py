"""`kertl augment-preview` and `kertl check-augmentation`: what varying the training images does to them."""

from pathlib import Path
from typing import Annotated

import typer

from kertl._terminal import working
from kertl.cli import _foreign as foreign
from kertl.cli import _options as options
from kertl.cli._ask import ModelPath, read_model
from kertl.cli._quiet import start_keras

Seed = Annotated[int, typer.Option(help="Seed of the random draws.")]


def augment_preview(
    data: options.DataPath,
    out: Annotated[Path, typer.Option(help="The picture file, such as a PNG.")],
    augment: options.Augment = None,
    image_size: Annotated[int, typer.Option(help="Side in pixels.", callback=options.check_side)] = 224,
    channels: options.Channels = None,
    images: Annotated[int, typer.Option(help="How many images at most; one of each class first.")] = 6,
    versions: Annotated[int, typer.Option(help="How many versions of each.")] = 6,
    seed: Seed = 0,
    image_column: options.ImageColumn = "file",
    label_column: options.LabelColumn = None,
    root: options.Root = None,
    check_again: options.CheckAgain = False,
) -> None:
    """Draw what an augmentation does to some images, next to the unchanged images; `light` by default."""
    start_keras()
    import kertl

    found = options.read_data(
        data,
        (image_size, image_size),
        channels=channels or 3,
        validation=0,
        test=0,
        image_column=image_column,
        label_columns=label_column,
        root=root,
        check_again=check_again,
    )
    chosen = options.read_augment(augment) or "light"
    kertl.data.preview_augmentation(found, chosen, out, images=images, versions=versions, seed=seed)
    typer.echo(f"The picture is {out}.")


def check_augmentation(
    model: ModelPath,
    data: options.DataPath,
    augment: options.Augment = None,
    out: Annotated[Path | None, typer.Option(help="A picture of the table, such as a PNG.")] = None,
    image_size: foreign.ImageSize = None,
    channels: foreign.Channels = None,
    resize: foreign.Resize = None,
    preprocessing: foreign.Preprocessing = None,
    model_task: foreign.Task = None,
    class_name: foreign.ClassName = None,
    custom: foreign.Custom = None,
    minutes: Annotated[
        float,
        typer.Option(
            min=0, help="About how long it may take; of many images a random sample is taken then. 0 takes all of them."
        ),
    ] = 2.0,
    seed: Seed = 0,
    batch_size: options.BatchSize = 32,
    image_column: options.ImageColumn = "file",
    label_column: options.LabelColumn = None,
    split_column: options.SplitColumn = None,
    root: options.Root = None,
    check_again: options.CheckAgain = False,
) -> None:
    """Show which transformations of images change a model's predictions, and flag those that lower its accuracy.

    Use images that the model was not trained on. All are meant, or with --split-column only the validation set (without
    one the test set): a run's data.csv has the column split.
    """
    start_keras()
    import kertl
    from kertl.evaluation import resize_of

    told = foreign.Told(image_size, channels, resize, preprocessing, model_task, class_name, custom)
    loaded, task, names = read_model(model, told)
    size, depth = told.form(loaded)
    images = options.read_data(
        data,
        size,
        resize=resize_of(loaded),
        channels=depth,
        validation=0,
        test=0,
        batch_size=batch_size,
        task="single_label" if task == "binary" else task,
        image_column=image_column,
        label_columns=label_column,
        split_column=split_column,
        root=root,
        check_again=check_again,
    )
    part = images.validation or images.test or images.train
    chosen = options.read_augment(augment)
    with working("Checking augmentation"):
        judged = part.relabelled(names, task)
        found = kertl.data.check_augmentation(loaded, judged, chosen, seed=seed, minutes=minutes or None)
    typer.echo(str(found))
    if out is not None:
        found.plot(out)
        typer.echo(f"The picture is {out}.")
