"""`kertl backbones` and `kertl doctor`: what there is."""

import importlib.util
from typing import Any

from rich.console import Console
from rich.table import Table

from kertl.cli._quiet import start_keras


def backbones() -> None:
    """List the pretrained backbones: parameters, input size, layer groups, preprocessing."""
    start_keras()
    from kertl.backbones import APPLICATIONS, KINDS

    table = Table()
    for heading in ("name", "parameters", "input", "smallest", "groups", "preprocessing"):
        words = heading in ("name", "preprocessing")
        table.add_column(heading, justify="left" if words else "right", no_wrap=heading != "preprocessing")
    for application in APPLICATIONS.values():
        inside = "rescales inside" if application.preprocessing == "none" else KINDS[application.preprocessing]
        table.add_row(
            application.name,
            f"{application.parameters / 1e6:.1f} M",
            str(application.size),
            str(application.minimum),
            str(application.groups),
            inside,
        )
    console = Console()
    console.print(table)
    console.print("Parameters without top. Pictures always come in as 0..255; the preprocessing is inside the model.")


def doctor() -> None:
    """Say what there is to compute on, which packages are installed, and what is missing."""
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
    for line in _advice(found):
        console.print(line, highlight=False)


def _advice(found: dict[str, Any]) -> list[str]:
    lines = []
    if all("cpu" in device.lower() for device in found["devices"]):
        lines.append("No GPU or TPU is in sight of this backend: training runs on the CPU.")
    if importlib.util.find_spec("openvino") is None:
        lines.append("OpenVINO is missing: pip install 'kertl[openvino]'")
    return lines or ["Nothing is missing."]
