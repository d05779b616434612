"""`kertl export`, `benchmark`, `inspect` and `verify`: a finished model where it is needed, and what is in files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kertl._checks import complain, one_of
from kertl._terminal import json_text, working
from kertl.cli import _foreign as foreign
from kertl.cli._ask import ModelPath
from kertl.cli._fields import taking
from kertl.cli._options import among, checked, place_afresh, place_of_run
from kertl.cli._quiet import start_keras

if TYPE_CHECKING:
    from kertl.results import Result

FORMATS = ("keras", "saved_model", "litert", "onnx", "openvino", "tfjs")
QUANTIZATIONS = ("float16", "dynamic", "int8")
QUANTIZED = {"litert": QUANTIZATIONS, "openvino": ("int8",)}
_VARIANTS = (*FORMATS, *(f"{name}:{kind}" for name, kinds in QUANTIZED.items() for kind in kinds))

Data = Annotated[
    Path | None,
    typer.Option(exists=True, help="Compare on these images, a folder per class; by default the run's test images."),
]
Images = Annotated[int, typer.Option(min=1, help="How many images to compare on, at most.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@taking(foreign.Told, without=("image_size", "channels"))
def export(
    model: ModelPath,
    told: foreign.Told,
    format: Annotated[  # noqa: A002, the name of the option
        str, typer.Option(help=f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}.", callback=among("--format", FORMATS))
    ] = "keras",
    out: Annotated[
        Path | None, typer.Option(help="File or folder; by default in RUN/export, or beside the model file.")
    ] = None,
    quantize: Annotated[
        str | None,
        typer.Option(
            help="For litert: float16, dynamic or int8; for openvino: int8 (int8 needs training images).",
            callback=among("--quantize", QUANTIZATIONS),
        ),
    ] = None,
    data: Data = None,
    images: Images = 1000,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Fix how many pictures it takes at a time; any number by default.")
    ] = None,
    float_group: Annotated[
        list[str] | None,
        typer.Option(
            help="A layer group that int8 of litert leaves in float; repeatable. kertl sensitivity finds them."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export a trained model, load it again in its own runtime, and check that it agrees, on real images."""
    if quantize is not None and quantize not in QUANTIZED.get(format, ()):
        ways = "; ".join(f"{name}: {', '.join(kinds)}" for name, kinds in QUANTIZED.items())
        raise complain("--quantize", f"one that --format {format} has ({ways})", quantize)
    if float_group and (format, quantize) != ("litert", "int8"):
        raise complain("--float-group", "left out without --format litert and --quantize int8", float_group)
    start_keras()
    import kertl
    from kertl.exporting import file_name

    path = out or (model / "export" if model.is_dir() else model.parent) / file_name(format, quantize)
    with told.asked(model) as asked, working("Exporting, and checking what was exported"):
        found = kertl.export(
            asked,
            path,
            format=format,
            quantize=quantize,
            data=data,
            images=images,
            batch=batch,
            float_groups=float_group or (),
        )
    _print(found, as_json)


@taking(foreign.Told, without=("image_size", "channels"))
def sensitivity(model: ModelPath, told: foreign.Told, data: Data = None, as_json: AsJson = False) -> None:
    """Find the layer groups that 8 bits hurt, each rounded alone, on training images."""
    start_keras()
    import kertl

    with told.asked(model) as asked, working("Rounding one layer group after the other"):
        found = kertl.exporting.sensitivity(asked, data=data)
    _print(found, as_json)


@taking(foreign.Told, without=("image_size", "channels"))
def benchmark(
    model: ModelPath,
    told: foreign.Told,
    format: Annotated[  # noqa: A002
        list[str] | None,
        typer.Option(
            help="Such as onnx or litert:int8; repeatable; all by default.",
            callback=checked(lambda given: [one_of("--format", one, _VARIANTS) for one in given]),
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the exports; by default RUN/export.")] = None,
    data: Data = None,
    images: Images = 1000,
    as_json: AsJson = False,
) -> None:
    """Export a model in every format, check each, and compare size, latency, throughput and accuracy."""
    start_keras()
    import kertl

    with told.asked(model) as asked, working("Exporting in every format, and measuring"):
        found = kertl.benchmark(asked, formats=format, data=data, out=out, images=images)
    _print(found, as_json)


def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=place_of_run,
            help="A .keras, .h5, .tflite or .onnx file, a run or its address, an export's folder.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what is in a model file without building the model or running anything in it."""
    import kertl

    _print(kertl.inspect(file), as_json)


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", parser=place_afresh, help="Run directory or its address.")],
    as_json: AsJson = False,
) -> int:
    """Check all checksums of a run: results, model, checkpoints, cached features and images; 1 if one is wrong."""
    import kertl

    found = kertl.verify(run)
    _print(found, as_json)
    return 1 if found.problems else 0


def _print(result: "Result", as_json: bool) -> Any:
    typer.echo(json_text(result.to_dict()) if as_json else str(result).rstrip("\n"))
