"""`kertl backbones` and `kertl doctor`: what is available."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from kertl.cli import _options as options
from kertl.cli._extras import missing_extras
from kertl.cli._quiet import start_keras


def backbones(
    family: Annotated[
        str, typer.Argument(help="hub: or cv: for the presets of KerasHub or KerasCV; part of a name narrows them.")
    ] = "",
) -> None:
    """List the pretrained backbones: the Applications with their properties, or presets of KerasHub or KerasCV."""
    start_keras()
    console = Console()
    if family.startswith(("hub:", "cv:")):
        _list_presets(family, console)
        return
    from kertl.backbones import APPLICATIONS, KINDS

    table = Table()
    for heading in ("name", "parameters", "input", "smallest", "groups", "preprocessing"):
        words = heading in ("name", "preprocessing")
        table.add_column(heading, justify="left" if words else "right", no_wrap=heading != "preprocessing")
    for application in APPLICATIONS.values():
        if family.lower() not in application.name.lower():
            continue
        inside = "rescales inside" if application.preprocessing == "none" else KINDS[application.preprocessing]
        table.add_row(
            application.name,
            f"{application.parameters / 1e6:.1f} M",
            str(application.size),
            str(application.minimum),
            str(application.groups),
            inside,
        )
    console.print(table)
    console.print("Parameters without top. Pictures always come in as 0..255; the preprocessing is inside the model.")
    console.print(
        "More: hub:PRESET of KerasHub (ResNet, EfficientNet, MobileNet, DenseNet, VGG, ViT, DeiT, DINO and others; "
        "`kertl backbones hub:` lists them), cv:PRESET of KerasCV (`kertl backbones cv:`), "
        "and any trained .keras or .h5 file."
    )


def _list_presets(family: str, console: Console) -> None:
    """The presets of a package whose names contain the text after the colon."""
    from kertl.backbones import preset_names

    package, _, part = family.partition(":")
    for name in preset_names(package):
        if part.lower() in name.lower():
            console.print(f"{package}:{name}", highlight=False, markup=False, soft_wrap=True)


def doctor(accelerator: options.Accelerator = "auto", devices: options.Devices = None) -> None:
    """Show the hardware, what of it training would use and why, which packages are installed, and what is missing."""
    start_keras()
    from kertl import hardware

    console = Console()
    found = hardware.describe()
    table = Table(show_header=False)
    for name, value in found.items():
        if name != "packages":
            table.add_row(name, ", ".join(value) if isinstance(value, list) else str(value))
    for name, version in found["packages"].items():
        table.add_row(name, version)
    console.print(table)
    console.print(hardware.choose(accelerator, devices=devices).table(), highlight=False, markup=False)
    if all("cpu" in device.lower() for device in found["devices"]):
        console.print("This backend sees no GPU or TPU: training runs on the CPU.", highlight=False)
    console.print(_missing() or "No optional package is missing.", highlight=False, markup=False)


def _missing() -> str:
    """A line for each optional part that is not installed: how to install it, and what it is for."""
    from kertl.results import table_text

    rows = [(f"pip install 'kertl[{name}]'", purpose) for name, purpose in missing_extras()]
    if not rows:
        return ""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    return f"Not installed, and needed only for what is named:\n{table_text(table)}".rstrip()
