"""`kertl report`: the page of a run, or of several."""

from pathlib import Path
from typing import Annotated

import typer

from kertl.cli._quiet import start_keras


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", exists=True, help="Run directories.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; report.html in the run directory by default, here for several.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The folder that the files in data.csv are relative to, if it was moved.")
    ] = None,
) -> None:
    """Write a page that says how good a model is, where it fails, and how it was made; several runs side by side."""
    start_keras()
    import dataclasses

    from kertl.report import REPORT, write_comparison
    from kertl.runner import data_of, read_run
    from kertl.runner._story import story_of

    found = [read_run(path) for path in runs]
    if len(found) > 1:
        written = write_comparison([story_of(run) for run in found], out or Path(REPORT))
    else:
        run = found[0]
        images, why = data_of(run, root)
        if images is None:
            typer.echo(f"The page shows no images: {why}. If they were moved, --root says where they are.", err=True)
        written = dataclasses.replace(run, data=images).report(out)
    typer.echo(f"The report is {written}.")
