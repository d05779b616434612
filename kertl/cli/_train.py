"""`kertl train`: images to a fine-tuned, evaluated, saved classifier."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kertl._checks import one_of
from kertl._places import as_given
from kertl._terminal import CONSOLE, working
from kertl.cli import _options as options
from kertl.cli._fields import read_fields, taking
from kertl.cli._images import DataOptions
from kertl.cli._quiet import hardware_entered
from kertl.errors import ArgumentError
from kertl.heads import Head
from kertl.recipe import NAMED, PRECISIONS, PRESETS, Stage, check_minutes

if TYPE_CHECKING:
    from kertl.diagnosis import Diagnosis


@taking(options.BackboneOptions)
@taking(DataOptions)
def train(
    data: options.DataPath,
    source: options.BackboneOptions,
    given: DataOptions,
    out: Annotated[
        str,
        typer.Option(help="Run directory, created if it does not exist, or an address such as gs://bucket/run."),
    ],
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
    epochs: Annotated[int | None, typer.Option(help="Epochs per stage.")] = None,
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
    keep_features: Annotated[
        bool,
        typer.Option("--keep-features", help="Keep features of the training images, for `kertl adapt` without them."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of split, order, head and augmentation.")] = 0,
    notices: Annotated[
        str | None,
        typer.Option(
            help="gce or ec2: write a checkpoint and stop when the cloud is about to take the machine away.",
            callback=options.among("--notices", ("gce", "ec2")),
        ),
    ] = None,
    accelerator: options.Accelerator = "auto",
    devices: options.Devices = None,
    batch_per_replica: Annotated[
        int | None,
        typer.Option(
            help="Images per batch of one device, instead of --batch-size.",
            callback=options.whole("--batch-per-replica", 1),
        ),
    ] = None,
    scale_rate: Annotated[
        str,
        typer.Option(
            help="Learning rates times the number of devices (linear), its root (sqrt), or as they are (none).",
            callback=options.among("--scale-rate", ("none", "linear", "sqrt")),
        ),
    ] = "none",
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="FIRST:LAST",
            help="Record these steps of each stage with the profiler, such as 10:20, and say where their time goes.",
            callback=options.checked(options.read_steps),
        ),
    ] = None,
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
    window = None if profile is None else options.read_steps(profile)
    chosen = None if recipe == "unfreezing" else _recipe(recipe, changes, seed)
    plan = _head(recipe, dropout, read_fields("head", head, Head))
    with hardware_entered(accelerator, precision, devices) as hardware:
        import kertl
        from kertl.report import REPORT

        console = Console(quiet=not hardware.chief)
        precision = hardware.precision
        if batch_per_replica is not None:
            given = dataclasses.replace(given, batch_size=hardware.batch_size(batch_per_replica))
        loaded = source.read(seed)
        images = given.to_train(data, loaded.input_shape[1:], seed)
        if not CONSOLE.quiet:
            console.print(images.summary(), markup=False, highlight=False)
        with working("Building the model"):
            model = kertl.build(
                loaded,
                class_names=images.class_names,
                task=images.task,
                head=plan,
                target_scaling=images.target_scaling,
            )
        if chosen is None:
            chosen = dataclasses.replace(kertl.gradual_unfreezing(model, **changes), seed=seed)
        if not isinstance(chosen, str):
            own = {} if recipe.endswith(".json") else {"precision": precision}
            chosen = _scaled(dataclasses.replace(chosen, **own), hardware, scale_rate)
        asked = precision if recipe in PRESETS else None
        how: dict[str, Any] = {"minutes": minutes, "precision": asked, "notices": notices, "profile": window}
        run = kertl.fine_tune(model, images, recipe=chosen, run_dir=out, keep_features=keep_features, **how)
        if run.metrics:
            from kertl.cli._tables import show_metrics

            show_metrics(run.metrics, console)
            if run.refit and "validation" in run.metrics:
                console.print(
                    "Validation metrics are from before the head was solved once more, on these images too.",
                    highlight=False,
                )
        folder = run.run_dir
        if folder is not None:
            named = as_given(folder)
            typer.echo(f"{run.diagnosis.summary}{_what_next(run.diagnosis, named)}")
            if (folder / REPORT).exists():
                typer.echo(f"How good it is, where it fails and how it was made: open {folder / REPORT} in a browser.")
            typer.echo(f"The model is {named}/model.keras; try `kertl predict {named} IMAGES...`.")


def _what_next(diagnosis: "Diagnosis", run: str) -> str:
    """Where advice is, if the curves ask for any."""
    fine = [one.verdict for one in diagnosis.findings] == ["good_fit"]
    return "" if fine else f" `kertl diagnose {run}` says what to try."


def _head(recipe: str, dropout: float | None, fields: dict[str, Any]) -> Head:
    """The requested head; with a preset it sees all depths unless something asked for does not go with that."""
    if dropout is not None:
        fields = {"dropout": dropout, **fields}
    if recipe in PRESETS and not fields.keys() & {"depths", "pooling", "hidden_units", "dropout"}:
        fields = {"depths": "auto", **fields}
    return Head(**fields)


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
