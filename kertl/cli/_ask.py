"""`kertl evaluate` and `kertl predict`: using a trained model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kertl._checks import number
from kertl._places import Places, none_usable
from kertl._terminal import CONSOLE, json_text, printable, working
from kertl.cli import _foreign as foreign
from kertl.cli import _into_file as into_file
from kertl.cli import _options as options
from kertl.cli._abstain import caution_of, read_abstain
from kertl.cli._engine import Engine, export_for
from kertl.cli._fields import taking
from kertl.cli._images import TableOptions
from kertl.cli._quiet import start_keras
from kertl.errors import ArgumentError

if TYPE_CHECKING:
    import keras


def _check_run(path: Path) -> None:
    """Raise if a folder has no model."""
    from kertl.run_files import model_of_run

    if path.is_dir():
        model_of_run(path)


ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="RUN_OR_MODEL",
        parser=options.place_of_run,
        help="Run directory or its address, or a .keras or .h5 file.",
        callback=options.checked(_check_run),
    ),
]


def _refuse_absent(images: list[Path]) -> None:
    """Raise if none of the images is there; one of several that is not is listed with those that cannot be read."""
    places = Places()
    absent = [str(path) for path in images if not Path(places.path(path)).exists()]
    if len(absent) == len(images):
        raise none_usable("in IMAGES", places, [(path, "does not exist") for path in absent], len(absent))


@taking(foreign.Told)
@taking(TableOptions)
def evaluate(
    model: ModelPath,
    data: options.DataPath,
    told: foreign.Told,
    given: TableOptions,
    part: Annotated[
        str | None,
        typer.Option(
            help="train, validation, test or all; by default the test part of divided data, else all.",
            callback=options.among("--part", ("train", "validation", "test", "all")),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    views: options.Views = 0,
    augment: options.Augment = None,
) -> None:
    """Evaluate a trained model on the images of a folder or a CSV table, with the metrics of its task."""
    start_keras()
    import kertl
    from kertl.cli._tables import show_metrics
    from kertl.evaluation import part_to_evaluate, resize_of
    from kertl.tasks import task_named

    loaded, task, names = read_model(model, told)
    size, depth = told.form(loaded)
    # A column whose name the model does not know still holds its targets.
    renamed = task_named(task).output_of == "target" and not set(given.label_column or ["label"]) <= set(names)
    images = given.read(
        data,
        size,
        resize=resize_of(loaded),
        channels=depth,
        validation=0,
        test=0,
        # A subset of the classes is enough, so a yes-or-no question is read as any two classes.
        task="single_label" if task == "binary" else task,
        class_names=names if renamed else None,
    )
    judged, name = part_to_evaluate(images, part)
    named = printable(str(data))
    CONSOLE.print(f"Evaluating {judged.num_examples} images of {named}, part: {name}.", markup=False, highlight=False)
    how = options.read_augment(augment) or "light"
    with working("Evaluating"):
        metrics = kertl.evaluate(loaded, judged, views=views, augment=how, intervals=True)
    if as_json:
        typer.echo(json_text({"part": name, **metrics}))
    else:
        show_metrics({f"{data} ({name})": metrics}, Console())


@taking(foreign.Told)
def predict(
    model: ModelPath,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES...", help="Files or folders.", callback=options.checked(_refuse_absent)),
    ],
    told: foreign.Told,
    top: Annotated[int, typer.Option(min=1, help="Single label: how many classes to name for each image.")] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; of a file that cannot be read, `file` and `error`.")
    ] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV; of a file that cannot be read, the column error says why.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a .csv or .parquet file instead, part by part; the same command again goes on, and leaves a "
            "finished file as it is."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="K/N", help="With --out: only share K of N, by the names of the files.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="With --out: by a Ray cluster: auto, local or HOST:PORT."),
    ] = None,
    abstain: Annotated[
        str | None,
        typer.Option(
            metavar="P|risk:R",
            help="Mark answers whose probability is below P; risk:0.05 chooses P on the run's validation images.",
            callback=options.checked(read_abstain),
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            help="Name for each image a set of classes that has the right one for this share of images; in an empty "
            "one no class is likely enough.",
            callback=options.checked(lambda share: number("--coverage", share, above=0, below=1)),
        ),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            parser=options.place_of_run,
            help="Say if the images differ from those that this run was validated and tested on; with --json as "
            "`reference` of an object, beside the list `images`.",
        ),
    ] = None,
    engine: Engine = "auto",
    join: Annotated[
        bool, typer.Option("--join", help="With --out: join shares instead; all arguments are files of --shard.")
    ] = False,
    batch_size: options.BatchSize = 32,
    views: options.Views = 0,
    augment: options.Augment = None,
) -> None:
    """Predict what is in images: classes and their probabilities, or the values of targets."""
    if as_json and as_csv:
        raise ArgumentError("`--json` and `--csv` cannot both be given. Received: both. Leave out one of them.")
    share = into_file.checked(out, shard, ray, join=join)
    import kertl

    with working("Starting"):
        from kertl.cli._answers import print_csv, print_json, print_table, rows_of
        from kertl.evaluation import images_for
        from kertl.model import task_of

    if join and out is not None:
        typer.echo(f"{out} has {kertl.evaluation.join_predictions([model, *images], out):,} rows.")
        return
    needs = {
        "--views": views,
        "--reference": reference,
        "--coverage": coverage,
        "--abstain risk": (abstain or "").startswith("risk:"),
        "what is said about the model": told != foreign.Told(),
    }
    loaded: Any = export_for(model, engine, next((option for option, given in needs.items() if given), ""))
    if loaded is None:
        start_keras()
        loaded = told.load(model)
    task = task_of(loaded)
    asked: dict[str, Any] = {"top": top, "views": views, "augment": options.read_augment(augment) or "light"}
    finished = False
    if out is not None and out.exists() and ray is None:
        cautions = [name for name, value in (("abstain", abstain), ("coverage", coverage)) if value is not None]
        finished = into_file.is_finished(loaded, images, out, share, asked, cautions=cautions)
    caution = caution_of(model, loaded, abstain, coverage)
    compared: dict[str, Any] | None = None
    if reference is not None and not finished:
        from kertl.cli._adapt import show_alarm

        compared = show_alarm(loaded, reference, images)
    if out is not None:
        given = {**asked, "batch_size": batch_size, "caution": caution}
        count = into_file.write(loaded, told, model, images, out, share, ray, given)
        typer.echo(f"{out} has {count:,} rows.")
        return
    size, depth = told.form(loaded)
    dataset = images_for(loaded, images, image_size=size, channels=depth, batch_size=batch_size, strict=False)
    with working("Predicting"):
        predictions = kertl.predict(loaded, dataset, views=views, augment=asked["augment"])
    for issue in dataset.issues:
        CONSOLE.print(f"left out: {issue}", markup=False, highlight=False)
    answers = kertl.answers(loaded, predictions, top=top)
    rows = rows_of(dataset, answers, None if caution is None else caution.doubts(predictions))
    if as_json:
        print_json(rows, compared)
    elif as_csv:
        print_csv(task, rows)
    else:
        print_table(task, rows)


def read_model(path: Path, told: foreign.Told) -> tuple["keras.Model", str, list[str]]:
    """The model of a run directory or file, its task, and the names of its classes or targets."""
    from kertl.evaluation import output_names
    from kertl.model import task_of

    model = told.load(path)
    return model, task_of(model), output_names(model)
