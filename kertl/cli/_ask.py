"""`kertl evaluate` and `kertl predict`: asking a trained model."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kertl.cli import _options as options
from kertl.cli._quiet import start_keras

if TYPE_CHECKING:
    import keras

ModelPath = Annotated[
    Path, typer.Argument(metavar="RUN_OR_MODEL", exists=True, help="Run directory, or a .keras file.")
]


def evaluate(
    model: ModelPath,
    data: options.DataPath,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    batch_size: options.BatchSize = 32,
    image_column: options.ImageColumn = "file",
    label_column: options.LabelColumn = "label",
    root: options.Root = None,
) -> None:
    """Judge a trained model on all the images of a folder or a CSV table."""
    start_keras()
    import kertl
    from kertl.cli._tables import show_metrics

    loaded, names = _load(model)
    images = options.read_data(
        data,
        loaded.input_shape[1:3],
        validation=0,
        test=0,
        batch_size=batch_size,
        image_column=image_column,
        label_column=label_column,
        root=root,
    )
    metrics = kertl.evaluate(loaded, images.train.relabelled(names))
    if as_json:
        typer.echo(json.dumps(metrics, indent=2, ensure_ascii=False))
    else:
        show_metrics({str(data): metrics}, Console())


def predict(
    model: ModelPath,
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Files or folders.")],
    top: Annotated[int, typer.Option(min=1, help="How many classes to name for each image.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    batch_size: options.BatchSize = 32,
) -> None:
    """Say what is on images: the likeliest classes and their probabilities."""
    start_keras()
    import kertl

    loaded, names = _load(model)
    dataset = kertl.data.images(images, image_size=loaded.input_shape[1:3], batch_size=batch_size)
    for issue in dataset.issues:
        Console(stderr=True).print(f"left out: {issue}", markup=False, highlight=False)
    probabilities = kertl.predict(loaded, dataset)
    order = (-probabilities).argsort(axis=1, kind="stable")[:, :top]
    rows = [
        (file, [(names[place], float(row[place])) for place in places])
        for file, row, places in zip(dataset.files, probabilities, order, strict=True)
    ]
    if as_json:
        answers = [{"file": f, "classes": [{"class": n, "probability": p} for n, p in best]} for f, best in rows]
        typer.echo(json.dumps(answers, indent=2, ensure_ascii=False))
    elif as_csv:
        _print_csv(rows)
    else:
        _print_table(rows)


def _load(path: Path) -> tuple["keras.Model", list[str]]:
    """The model of a run directory or file, and the names of its classes."""
    import kertl
    from kertl.model import model_info

    model = kertl.load(path / "model.keras" if path.is_dir() else path)
    info = model_info(model)
    if info is not None and info.task != "single_label":
        raise ValueError(f"The model must be a single-label classifier. Received: {str(path)!r}, for {info.task!r}.")
    names = list(info.class_names) if info is not None else []
    return model, names or [str(number) for number in range(model.output_shape[-1])]


def _print_csv(rows: list[tuple[str, list[tuple[str, float]]]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    count = len(rows[0][1])
    writer.writerow(
        ["file", *(f"{what}_{number}" for number in range(1, count + 1) for what in ("class", "probability"))]
    )
    for file, best in rows:
        writer.writerow([file, *(cell for name, probability in best for cell in (name, f"{probability:.6f}"))])


def _print_table(rows: list[tuple[str, list[tuple[str, float]]]]) -> None:
    from rich.text import Text

    table = Table()
    for heading in ("file", "class", "probability", "then"):
        table.add_column(heading, justify="right" if heading == "probability" else "left", overflow="fold")
    for file, best in rows:
        cells: list[Any] = [file, best[0][0], f"{best[0][1]:.4f}"]
        cells.append(", ".join(f"{name} {probability:.4f}" for name, probability in best[1:]))
        table.add_row(*(Text(cell) for cell in cells))
    Console().print(table)
