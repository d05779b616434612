"""`kertl augment-preview` and `kertl check-augmentation`: what varying the training images does to them."""

from pathlib import Path
from typing import Annotated

import typer

from kertl._terminal import working
from kertl.cli import _foreign as foreign
from kertl.cli import _options as options
from kertl.cli._ask import ModelPath, read_model
from kertl.cli._fields import taking
from kertl.cli._images import TableOptions
from kertl.cli._quiet import start_keras

Seed = Annotated[int, typer.Option(help="Seed of the random draws.")]


@taking(TableOptions, without=("batch_size", "separator", "split_column"))
def augment_preview(
    data: options.DataPath,
    out: Annotated[Path, typer.Option(help="The picture file, such as a PNG.")],
    given: TableOptions,
    augment: options.Augment = None,
    image_size: Annotated[int, typer.Option(help="Side in pixels.", callback=options.check_side)] = 224,
    channels: options.Channels = None,
    images: Annotated[
        int,
        typer.Option(help="How many images at most; one of each class first.", callback=options.whole("--images", 1)),
    ] = 6,
    versions: Annotated[
        int, typer.Option(help="How many versions of each.", callback=options.whole("--versions", 1))
    ] = 6,
    seed: Seed = 0,
) -> None:
    """Draw what an augmentation does to some images, next to the unchanged images; `light` by default."""
    start_keras()
    import kertl

    found = given.read(data, (image_size, image_size), channels=channels or 3, validation=0, test=0)
    chosen = options.read_augment(augment) or "light"
    with working("Drawing"):
        kertl.data.preview_augmentation(found, chosen, out, images=images, versions=versions, seed=seed)
    typer.echo(f"The picture is {out}.")


@taking(foreign.Told)
@taking(TableOptions)
def check_augmentation(
    model: ModelPath,
    data: options.DataPath,
    told: foreign.Told,
    given: TableOptions,
    augment: options.Augment = None,
    out: Annotated[Path | None, typer.Option(help="A picture of the table, such as a PNG.")] = None,
    minutes: Annotated[
        float,
        typer.Option(
            min=0, help="About how long it may take; of many images a random sample is taken then. 0 takes all of them."
        ),
    ] = 2.0,
    seed: Seed = 0,
) -> None:
    """Show which transformations of images change a model's predictions, and flag those that lower its accuracy.

    Use images that the model was not trained on. All are meant, or with --split-column only the validation set (without
    one the test set): a run's data.csv has the column split.
    """
    start_keras()
    import kertl
    from kertl.evaluation import resize_of

    loaded, task, names = read_model(model, told)
    size, depth = told.form(loaded)
    images = given.read(
        data,
        size,
        resize=resize_of(loaded),
        channels=depth,
        validation=0,
        test=0,
        task="single_label" if task == "binary" else task,
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
