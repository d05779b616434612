"""`kertl shift` and `kertl adapt`: another domain, and the alarm of `kertl predict --reference`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from kertl._checks import complain
from kertl._places import as_given
from kertl._terminal import CONSOLE, printable, working
from kertl.cli import _foreign as foreign
from kertl.cli import _options as options
from kertl.cli._ask import ModelPath, read_model
from kertl.cli._fields import taking
from kertl.cli._quiet import start_keras
from kertl.cli._studies import CacheDir, Out, Seed, show
from kertl.errors import ArgumentError

if TYPE_CHECKING:
    import keras

METHODS = (
    *("auto", "labels", "fine_tune", "none", "adabn", "tent", "restyle", "align", "coral", "prior", "pseudo", "ot"),
    *("deep_coral", "mmd", "dann"),
)
"""Those of `kertl.adaptation.METHODS`, which cannot be read before TensorFlow is imported."""

_FOLDER = "A folder of images, perhaps with one folder per class."


@taking(options.BackboneOptions, without=("channels",))
def shift(
    a: Annotated[Path, typer.Argument(metavar="A", exists=True, help=_FOLDER)],
    b: Annotated[Path, typer.Argument(metavar="B", exists=True, help=_FOLDER)],
    source: options.BackboneOptions,
    model: Annotated[
        Path | None,
        typer.Option(metavar="RUN_OR_MODEL", parser=options.place_of_run, help="The model; without, a backbone."),
    ] = None,
    boundary: Annotated[
        list[str] | None, typer.Option(help="Measure after this layer group; repeatable; the main ones by default.")
    ] = None,
    seed: Seed = 0,
    cache_dir: CacheDir = None,
    out: Out = None,
) -> None:
    """Show how far two sets of images are apart to a model, by depth, and what of it are other shares of classes."""
    start_keras()
    import kertl

    if model is None:
        loaded = source.read()
    else:
        loaded, _, _ = read_model(model, foreign.Told(image_size=source.image_size, preprocessing=source.preprocessing))
    domains = [domain(path, loaded) for path in (a, b)]
    with working("Measuring"):
        found = kertl.shift(loaded, *domains, boundaries=boundary, seed=seed, cache_dir=cache_dir)
    show(found, out, "shift")


def adapt(
    model: ModelPath,
    target: Annotated[Path, typer.Argument(metavar="TARGET", exists=True, help=_FOLDER)],
    source: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN_OR_FOLDER",
            parser=options.place_of_run,
            help="What the model was trained on: a run, or a folder with one folder of images per class; by default "
            "the run that is adapted.",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help=f"{', '.join(METHODS)}.", callback=options.among("--method", METHODS))
    ] = "auto",
    labels: Annotated[
        bool, typer.Option("--labels", help="TARGET has one folder per class, and its labels are used.")
    ] = False,
    head: Annotated[
        str,
        typer.Option(
            help="With --labels: keep the classes, extend them, or new.",
            callback=options.among("--head", ("keep", "extend", "new")),
        ),
    ] = "keep",
    share: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS=SHARE", help="Share of a class in TARGET, where it is known; one for each class."),
    ] = None,
    seed: Seed = 0,
    cache_dir: CacheDir = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the adapted model.keras and adaptation.json.")] = None,
) -> None:
    """Adapt a trained classifier to images of another domain, such as other equipment, with labels or without."""
    if method in ("labels", "fine_tune") and not labels:
        raise complain("--method", "another one without --labels", method)
    shares = None if share is None else dict(map(_share, share))
    start_keras()
    import kertl
    from kertl.run_files import write_text

    loaded, _, _ = read_model(model, foreign.Told())
    known = source or (model if model.is_dir() else None)
    images = domain(target, loaded, labels=labels)
    if not labels and has_classes(target, loaded):
        CONSOLE.print(f"The folders of {printable(str(target))} are classes of the model: --labels uses them.")
    with working("Adapting"):
        given: dict[str, Any] = {"source": known, "method": method, "head": head, "shares": shares}
        found = kertl.adapt(loaded, images, **given, seed=seed, cache_dir=cache_dir)
    Console().print(Text(printable(found.table(), lines=True)), soft_wrap=True)
    if out is not None:
        kertl.save(found.model, out / "model.keras")
        write_text(out / "adaptation.json", found.to_json() + "\n")
        typer.echo(f"{out} holds model.keras and adaptation.json.")
    else:
        CONSOLE.print("Nothing was written: --out DIR keeps the adapted model.")


def _share(text: str) -> tuple[str, float]:
    name, _, value = text.rpartition("=")
    try:
        return name, float(value)
    except ValueError:
        raise complain("--share", "CLASS=SHARE, such as --share defective=0.2", text) from None


def domain(path: Path, model: "keras.Model", *, labels: bool | None = None) -> Any:
    """The images of a folder or file at the size of a model.

    Args:
        path: The folder.
        model: The model.
        labels: Whether to read the labels, which are the names of its folders; None reads them if these are the names
            of the model's classes.
    """
    from kertl import data
    from kertl.evaluation import resize_of
    from kertl.model import picture_shape

    size, channels = picture_shape(model)
    if size is None:
        raise complain("--model", "one that takes pictures of one size", model.name)
    form: dict[str, Any] = {"image_size": size, "channels": channels or 3, "resize": resize_of(model)}
    if has_classes(path, model) if labels is None else labels:
        return data.from_directory(path, validation=0, test=0, **form)
    return data.images(path, **form)


def has_classes(path: Path, model: "keras.Model") -> bool:
    """Whether a folder has a folder for one of a model's classes."""
    from kertl.model import model_info

    info = model_info(model)
    return path.is_dir() and info is not None and any((path / name).is_dir() for name in info.class_names)


def show_alarm(model: "keras.Model", run: Path, images: list[Path]) -> dict[str, Any]:
    """Say on stderr whether images differ from those that a run was validated and tested on; the same for JSON."""
    from kertl import data, studies
    from kertl.evaluation import resize_of, run_images
    from kertl.model import model_info, picture_shape

    info = model_info(model)
    found, why = ({}, "the model does not know its classes") if info is None else run_images(run, info)
    parts = [found[part] for part in ("validation", "test") if part in found]
    size, channels = picture_shape(model)
    if not parts or size is None:
        raise ArgumentError(
            "`--reference` must be a run whose validation or test images are there. "
            f"Received: --reference {as_given(run)}; {why or 'it has none'}. Give the directory that `kertl train "
            "--out` wrote.",
            code="run-directory",
        )
    new = data.images(images, image_size=size, channels=channels or 3, resize=resize_of(model))
    if new.num_examples < studies.FEWEST:
        why = f"Too few images to compare with the reference: at least {studies.FEWEST} are needed."
        CONSOLE.print(why)
        return {"raised": None, "error": why}
    verdict = studies.alarm(model, data.joined(parts), new)
    style = "bold red" if verdict.raised else ""
    Console(stderr=True).print(Text(printable(verdict.table(), lines=True), style=style), soft_wrap=True)
    return verdict.to_dict()
