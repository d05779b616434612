"""Options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kertl.data import ImageData

DataPath = Annotated[
    Path,
    typer.Argument(
        metavar="DIR_OR_CSV", exists=True, help="A folder with one folder of images per class, or a CSV table."
    ),
]
ImageColumn = Annotated[str, typer.Option(help="CSV: the column with the image files.")]
LabelColumn = Annotated[str, typer.Option(help="CSV: the column with the classes.")]
StratifyColumn = Annotated[list[str] | None, typer.Option(help="CSV: also split evenly by this column; repeatable.")]
GroupColumn = Annotated[str | None, typer.Option(help="CSV: images alike here stay on one side of the split.")]
SplitColumn = Annotated[str | None, typer.Option(help="CSV: a given split (train, validation, test, or blank).")]
Root = Annotated[Path | None, typer.Option(help="CSV: where its files are; its own folder by default.")]
BatchSize = Annotated[int, typer.Option(help="Images per batch.")]


def read_data(
    path: Path,
    image_size: tuple[int, int],
    *,
    validation: float,
    test: float,
    seed: int = 0,
    batch_size: int = 32,
    image_column: str = "file",
    label_column: str = "label",
    stratify_columns: list[str] | None = None,
    group_column: str | None = None,
    split_column: str | None = None,
    root: Path | None = None,
) -> "ImageData":
    """The images in a folder or listed in a CSV table."""
    from kertl import data

    common: dict[str, Any] = {"validation": validation, "test": test, "seed": seed, "batch_size": batch_size}
    if path.is_dir():
        return data.from_directory(path, image_size=image_size, **common)
    return data.from_csv(
        path,
        image_column=image_column,
        label_column=label_column,
        stratify_columns=tuple(stratify_columns or ()),
        group_column=group_column,
        split_column=split_column,
        root=root,
        image_size=image_size,
        **common,
    )
