"""`kertl report`: the page of a run, of several, of a search or of a study."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kertl._terminal import working
from kertl.cli._options import place_of_run
from kertl.cli._quiet import start_keras

if TYPE_CHECKING:
    from kertl.results import Result

_STUDIES = {
    "cross_validation.json": ("Cross-validation", "studies", "CrossValidation"),
    "learning_curve.json": ("Learning curve", "studies", "LearningCurve"),
    "baselines.json": ("Baselines on frozen features", "probes", "Baselines"),
}


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            parser=place_of_run,
            help="Run directories or their addresses; or one folder of a search, or of what --out of a study names.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; report.html in the folder by default, here for several.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The folder that the files in data.csv are relative to, if it was moved.")
    ] = None,
) -> None:
    """Write a page that says how good a model is, where it fails, and how it was made; several runs side by side.

    A search, a cross-validation, a learning curve and baselines have a page too.
    """
    start_keras("kertl.report", "kertl.runner._story")
    import dataclasses

    from kertl.report import REPORT, write_comparison, write_result
    from kertl.runner import data_of, read_run
    from kertl.runner._story import story_of

    study = _study_in(runs[0]) if len(runs) == 1 else None
    if study is not None:
        title, result = study
        typer.echo(f"The report is {write_result(result, out or runs[0] / REPORT, title)}.")
        return
    with working("Reading the run" if len(runs) == 1 else "Reading the runs"):
        found = [read_run(path) for path in runs]
    if len(found) > 1:
        with working("Writing the report"):
            written = write_comparison([story_of(run) for run in found], out or Path(REPORT))
    else:
        run = found[0]
        with working("Looking for the images"):
            images, why = data_of(run, root)
        if images is None:
            typer.echo(f"The page shows no images: {why}. If they were moved, --root says where they are.", err=True)
        with working("Looking into the images and writing the report"):
            written = dataclasses.replace(run, data=images).report(out)
    typer.echo(f"The report is {written}.")


def _study_in(folder: Path) -> "tuple[str, Result] | None":
    """What a page is called, and what it shows: the search or the study in a folder; None if there is none.

    Raises:
        RunError: If its file is damaged.
    """
    from kertl import search
    from kertl.errors import RunError
    from kertl.run_files import read_text

    if (folder / search.SETTINGS).is_file():
        return "Search", search.read(folder)
    for name, (title, module, kind) in _STUDIES.items():
        if (folder / name).is_file():
            try:
                found = getattr(importlib.import_module(f"kertl.{module}"), kind).from_json(read_text(folder / name))
            except (ValueError, TypeError, LookupError) as error:
                raise RunError(
                    f"{str(folder / name)!r} must hold what the study wrote. Received: {error}. Make it again.",
                    code="damaged",
                ) from error
            return title, found
    return None
