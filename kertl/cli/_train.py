"""`kertl train`: images to a fine-tuned, evaluated, saved classifier."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from kertl._checks import integer, one_of
from kertl.cli import _options as options
from kertl.cli._fields import read_fields
from kertl.cli._quiet import hardware_entered
from kertl.errors import ArgumentError
from kertl.recipe import NAMED, PRECISIONS, PRESETS, Stage, check_minutes


def train(
    data: options.DataPath,
    out: Annotated[Path, typer.Option(help="Run directory; created if it does not exist.")],
    backbone: options.Backbone = "EfficientNetV2B0",
    task: options.Task = "single_label",
    weights: options.Weights = "imagenet",
    preprocessing: options.Preprocessing = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="auto, quick, good, best, deep, mid, full, gradual, unfreezing, or a recipe.json; gradual by default, "
            "and auto with --minutes."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="A time for the run to keep to, with a recipe that is chosen.")
    ] = None,
    image_size: options.ImageSize = None,
    resize: options.Resize = "stretch",
    channels: options.Channels = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs per stage.")] = None,
    batch_size: options.BatchSize = 32,
    augment: options.Augment = None,
    stage: options.StageFields = None,
    head: options.HeadFields = None,
    dropout: Annotated[
        float | None, typer.Option(help="Share of units dropped in the head; 0.3 unless the head sees all depths.")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="float32, mixed_bfloat16, mixed_float16, or auto: what suits the hardware.",
            callback=options.among("--precision", (*PRECISIONS, "auto")),
        ),
    ] = "float32",
    seed: Annotated[int, typer.Option(help="Seed of split, order, head and augmentation.")] = 0,
    validation: options.Validation = 0.15,
    test: options.Test = 0.15,
    image_column: options.ImageColumn = "file",
    label_column: options.LabelColumn = None,
    separator: options.Separator = None,
    class_name: options.ClassName = None,
    stratify_column: options.StratifyColumn = None,
    group_column: options.GroupColumn = None,
    split_column: options.SplitColumn = None,
    root: options.Root = None,
    check_again: options.CheckAgain = False,
    accelerator: options.Accelerator = "auto",
    devices: options.Devices = None,
    batch_per_replica: Annotated[
        int | None,
        typer.Option(
            help="Images per batch of one device, instead of --batch-size.",
            callback=options.checked(lambda size: integer("--batch-per-replica", size, at_least=1)),
        ),
    ] = None,
    scale_rate: Annotated[
        str,
        typer.Option(
            help="Learning rates times the number of devices (linear), its root (sqrt), or as they are (none).",
            callback=options.among("--scale-rate", ("none", "linear", "sqrt")),
        ),
    ] = "none",
) -> None:
    """Fine-tune a pretrained model on a folder of images or a CSV table, stage by stage.

    Where TF_CONFIG names several processes, run the same command in each; the first one writes.
    """
    recipe = recipe or ("gradual" if minutes is None else "auto")
    if not recipe.endswith(".json"):
        one_of("--recipe", recipe, (*PRESETS, "unfreezing", *NAMED))
    check_minutes(minutes, recipe)
    chosen_here: dict[str, Any] = {"epochs": epochs, "augment": options.read_augment(augment)}
    changes = {name: value for name, value in chosen_here.items() if value is not None}
    changes.update(read_fields("stage", stage, Stage))
    chosen = None if recipe == "unfreezing" else _recipe(recipe, changes, seed)
    with hardware_entered(accelerator, precision, devices) as hardware:
        import kertl
        from kertl.report import REPORT

        console = Console(quiet=not hardware.chief)
        precision = hardware.precision
        batch_size = batch_size if batch_per_replica is None else hardware.batch_size(batch_per_replica)
        plan = _head(recipe, dropout, read_fields("head", head, kertl.Head))
        loaded = options.read_backbone(
            backbone, weights, image_size, seed, channels=channels, preprocessing=preprocessing
        )
        images = options.read_data(
            data,
            loaded.input_shape[1:3],
            resize=resize,
            channels=loaded.input_shape[3],
            validation=validation,
            test=test,
            seed=seed,
            batch_size=batch_size,
            image_column=image_column,
            task=task,
            class_names=class_name,
            label_columns=label_column,
            separator=separator,
            stratify_columns=stratify_column,
            group_column=group_column,
            split_column=split_column,
            root=root,
            check_again=check_again,
        )
        console.print(images.summary(), markup=False, highlight=False)
        model = kertl.build(
            loaded, class_names=images.class_names, task=task, head=plan, target_scaling=images.target_scaling
        )
        if chosen is None:
            chosen = dataclasses.replace(kertl.gradual_unfreezing(model, **changes), seed=seed)
        if not isinstance(chosen, str):
            own = {} if recipe.endswith(".json") else {"precision": precision}
            chosen = _scaled(dataclasses.replace(chosen, **own), hardware, scale_rate)
        asked = precision if recipe in PRESETS else None
        run = kertl.fine_tune(model, images, recipe=chosen, minutes=minutes, run_dir=out, precision=asked)
        if run.metrics:
            from kertl.cli._tables import show_metrics

            show_metrics(run.metrics, console)
        if hardware.chief:
            typer.echo(f"{run.diagnosis.sentence} `kertl diagnose {out}` says what to try.")
            if (out / REPORT).exists():
                typer.echo(f"How good it is, where it fails and how it was made: open {out / REPORT} in a browser.")
            typer.echo(f"The model is {out / 'model.keras'}; try `kertl predict {out} IMAGES...`.")


def _head(recipe: str, dropout: float | None, fields: dict[str, Any]) -> Any:
    """The requested head; with a preset it sees all depths unless something asked for does not go with that."""
    import kertl

    if dropout is not None:
        fields = {"dropout": dropout, **fields}
    if recipe in PRESETS and not fields.keys() & {"depths", "pooling", "hidden_units", "dropout"}:
        fields = {"depths": "auto", **fields}
    return kertl.Head(**fields)


def _recipe(name: str, given: dict[str, Any], seed: int) -> Any:
    """The recipe of that name or file, with the requested changes; a preset unchanged."""
    if name not in PRESETS:
        found = options.read_recipe(name, given)
        return found if name.endswith(".json") else dataclasses.replace(found, seed=seed)
    if given:
        received = ", ".join(
            f"--epochs {value}" if field == "epochs" else f"--stage {field}={value}" for field, value in given.items()
        )
        raise ArgumentError(
            f"`--recipe {name}` chooses {' and '.join(given)} itself. Received: {received}. Leave these out, or name "
            "another recipe, such as gradual or full."
        )
    return name


def _scaled(recipe: Any, hardware: Any, scaling: str) -> Any:
    """The recipe with its rates as they suit the batch of all replicas; those a range test finds suit it anyway."""

    def rate(stage: Any) -> Any:
        found = stage.learning_rate
        if isinstance(found, tuple):
            return tuple(hardware.learning_rate(one, scaling=scaling) for one in found)
        exact = stage.solver == "exact"
        return found if exact or isinstance(found, str) else hardware.learning_rate(found, scaling=scaling)

    return dataclasses.replace(
        recipe, stages=[dataclasses.replace(stage, learning_rate=rate(stage)) for stage in recipe.stages]
    )
