"""`inspect`: what is in a model file, without building the model."""

import dataclasses
import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from rich import box
from rich.table import Table

from kertl._checks import parse_json
from kertl._memory import megabytes
from kertl._terminal import printable
from kertl.errors import MissingPackageError, WeightsError
from kertl.inspection._trust import DAMAGED, NOTE, refuse_bomb
from kertl.results import Result, table_text
from kertl.run_files import MODEL_FILE, local_run, model_of_run, read_text, sha256_of

_WEIGHTS = "model.weights.h5"
_LARGEST_NOTE = 2**20
_OF_KERAS = ("keras", "builtins")
_OF_ONNX = ("", "ai.onnx", "ai.onnx.ml")
_CODE = ("Lambda", "TFSMLayer", "__lambda__")  # what carries code of its own; Keras' safe mode refuses them
_SHOWN = 12


@dataclasses.dataclass(frozen=True, repr=False)
class Inspection(Result):
    """What is in a model file.

    Attributes:
        path: The file.
        kind: "keras", "hdf5", "litert" or "onnx"; "folder" for that of an export.
        size_bytes: Its size.
        sha256: Its checksum; empty for a folder.
        keras: The version of Keras that wrote it; empty if it does not say so.
        name: The name of the model.
        input_shapes: The shapes of its inputs, without the batch; None for an open side.
        layers: How many layers there are of each class; of an ONNX file, how many nodes of each operator.
        weights: How many arrays of weights.
        parameters: How many numbers are in them.
        custom: Classes and functions that are not Keras' own, with their modules; loading needs them.
        code: Layers that carry code of their own, which Keras' safe mode, always on in kertl, refuses to load.
        noted: What kertl noted: task, classes, thresholds and pictures of a model, or the contract of an export.
        members: Name and size in bytes of each part of the file.
    """

    path: Path
    kind: str
    size_bytes: int
    sha256: str
    keras: str
    name: str
    input_shapes: tuple[tuple[int | None, ...], ...]
    layers: dict[str, int]
    weights: int
    parameters: int
    custom: tuple[str, ...]
    code: tuple[str, ...]
    noted: dict[str, Any]
    members: dict[str, int]

    def table(self) -> str:
        """Everything, a line each."""
        table = Table(box=box.SIMPLE, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in self._lines():
            if value:
                table.add_row(name, printable(value))
        return table_text(table)

    def _lines(self) -> Iterator[tuple[str, str]]:
        kinds = sorted(self.layers.items(), key=lambda one: (-one[1], one[0]))
        more = f", and {len(kinds) - _SHOWN} more kinds" if len(kinds) > _SHOWN else ""
        yield "file", f"{self.path} ({self.kind}), {megabytes(self.size_bytes)}"
        yield "SHA-256", self.sha256
        yield "written by", f"Keras {self.keras}" if self.keras else ""
        yield "model", self.name
        yield "input", "; ".join(str(shape) for shape in self.input_shapes)
        yield "layers", ", ".join(f"{count} {kind}" for kind, count in kinds[:_SHOWN]) + more
        yield "weights", f"{self.parameters:,} in {self.weights} arrays" if self.weights else ""
        yield "custom", ", ".join(self.custom) if self.custom else ("none" if self.layers else "")
        yield "code inside", ", ".join(self.code)
        for name, value in self.noted.items():
            yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield "parts", ", ".join(f"{name} {size:,}" for name, size in self.members.items())


def inspect(path: str | Path) -> Inspection:
    """Show what is in a model file or run directory, without building the model or running anything in it.

    Args:
        path: A `.keras`, `.h5`, `.tflite` or `.onnx` file; a run directory, whose model.keras is inspected; or the
            folder of an export that kertl wrote.

    Raises:
        WeightsError: If there is no such file, it is damaged or of another kind, it would become huge when it is
            read, or a run has not finished.
        MissingPackageError: If it is an ONNX file, and onnx is not installed.

    Example:
        >>> import keras, kertl, tempfile
        >>> from pathlib import Path
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
        >>> model = kertl.model.describe(keras.Sequential(layers), class_names=["cat", "dog"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kertl.save(model, Path(folder) / "m.keras")
        ...     found = kertl.inspect(Path(folder) / "m.keras")
        >>> found.input_shapes, found.layers["Dense"], found.parameters, found.noted["class_names"]
        (((8, 8, 3),), 1, 386, ['cat', 'dog'])
    """
    path = local_run(path, "path")
    if any((path / name).is_file() for name in (MODEL_FILE, "recipe.json")):
        path = model_of_run(path)
    if not path.exists():
        raise WeightsError(f"There is no model file {str(path)!r}.", code="file-missing")
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.suffix in _READERS:
            return _READERS[path.suffix](path)
    except DAMAGED as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"{str(path)!r} cannot be inspected: {error}", code="model-file") from error
    raise WeightsError(
        f"`path` must be a .keras, .h5, .tflite or .onnx file, a run directory, or the folder of an export. "
        f"Received: {str(path)!r}.",
        code="model-file",
    )


def _found(path: Path, kind: str, **known: Any) -> Inspection:
    unknown: dict[str, Any] = {
        "size_bytes": path.stat().st_size,
        "keras": "",
        "name": "",
        "input_shapes": (),
        "layers": {},
        "weights": 0,
        "parameters": 0,
        "custom": (),
        "code": (),
        "noted": {},
        "members": {},
    }
    return Inspection(path=path, kind=kind, **{"sha256": sha256_of(path) if path.is_file() else "", **unknown, **known})


def _of_archive(path: Path) -> Inspection:
    _refuse_no_archive(path)
    refuse_bomb(path)
    with zipfile.ZipFile(path) as archive:
        members = {one.filename: one.file_size for one in archive.infolist()}
        config = parse_json(archive.read("config.json").decode())
        written = parse_json(archive.read("metadata.json").decode()) if "metadata.json" in members else {}
        noted = parse_json(archive.read(NOTE).decode()) if NOTE in members else {}
        with archive.open(_WEIGHTS) as content, h5py.File(content) as file:
            weights, parameters = _sizes(file)
    known = {"keras": str(written.get("keras_version", "")), "noted": noted, "members": members}
    return _found(path, "keras", **_described(config), weights=weights, parameters=parameters, **known)


def _of_hdf5(path: Path) -> Inspection:
    refuse_bomb(path)
    with h5py.File(path) as file:
        weights, parameters = _sizes(file)
        config = parse_json(file.attrs["model_config"]) if "model_config" in file.attrs else {}
        version = str(file.attrs.get("keras_version", ""))
    return _found(path, "hdf5", **_described(config), weights=weights, parameters=parameters, keras=version)


def _of_onnx(path: Path) -> Inspection:
    try:
        import onnx
    except ImportError as error:
        raise MissingPackageError(
            f"onnx must be installed to inspect {str(path)!r}. Run `pip install 'kertl[onnx]'`."
        ) from error
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"it is no ONNX file: {error}") from error
    graph, noted = proto.graph, {one.key: one.value for one in proto.metadata_props}
    weights = {one.name: math.prod(one.dims) for one in graph.initializer}
    taken = [one.type.tensor_type.shape.dim for one in graph.input if one.name not in weights]
    return _found(
        path,
        "onnx",
        name=graph.name,
        input_shapes=tuple(tuple(side.dim_value or None for side in sides[1:]) for sides in taken),
        layers=dict(Counter(node.op_type for node in graph.node)),
        weights=len(weights),
        parameters=sum(weights.values()),
        custom=tuple(sorted({f"{node.domain}:{node.op_type}" for node in graph.node if node.domain not in _OF_ONNX})),
        noted=dict(parse_json(noted["kertl"])) if "kertl" in noted else dict(noted),
    )


def _of_folder(path: Path) -> Inspection:
    if not (path / NOTE).is_file():
        raise ValueError(f"it has neither {MODEL_FILE} nor {NOTE}: no run and no export")
    files = sorted(one for one in path.rglob("*") if one.is_file())
    members = {one.relative_to(path).as_posix(): one.stat().st_size for one in files}
    noted = parse_json(read_text(path / NOTE, _LARGEST_NOTE))
    return _found(path, "folder", size_bytes=sum(members.values()), noted=noted, members=members)


def _of_litert(path: Path) -> Inspection:
    """What the contract that is attached to a LiteRT file says."""
    _refuse_no_archive(path)
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(NOTE).file_size > _LARGEST_NOTE:
            raise ValueError(f"its {NOTE} has more than {_LARGEST_NOTE:,} bytes")
        return _found(path, "litert", noted=dict(parse_json(archive.read(NOTE).decode())))


def _refuse_no_archive(path: Path) -> None:
    if not zipfile.is_zipfile(path):
        raise ValueError("it has no archive in it")


_READERS = {
    ".keras": _of_archive,
    ".h5": _of_hdf5,
    ".hdf5": _of_hdf5,
    ".tflite": _of_litert,
    ".onnx": _of_onnx,
}


def _sizes(file: Any) -> tuple[int, int]:
    """How many arrays of weights there are, and how many numbers in them, as the file declares."""
    counts: list[int] = []

    def visit(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            counts.append(math.prod(one.shape))

    file.visititems(visit)
    return len(counts), sum(counts)


def _described(config: Any) -> dict[str, Any]:
    """What the description of a model says, which is only read."""
    if not isinstance(config, dict) or not isinstance(config.get("config", {}), dict):
        raise ValueError("its description is not that of a model")
    objects = list(_objects(config.get("config", {})))
    layers = [one for one in objects if _is_layer(one)]
    inputs = [one["config"] for one in layers if one["class_name"] == "InputLayer"]
    shapes = [one.get("batch_shape") or one.get("batch_input_shape") for one in inputs]
    return {
        "name": str(config.get("config", {}).get("name", "")),
        "layers": dict(Counter(str(one["class_name"]) for one in layers if one["class_name"] != "InputLayer")),
        "custom": tuple(sorted({told for one in (config, *objects) if (told := _not_of_keras(one))})),
        "code": tuple(sorted({str(one["class_name"]) for one in objects} & {*_CODE})),
        "input_shapes": tuple(tuple(shape[1:]) for shape in shapes[:1] if isinstance(shape, list)),
    }


def _is_layer(one: dict[str, Any]) -> bool:
    """Whether an object is a layer or model; policies of data types have names too."""
    own = one.get("config")
    return isinstance(own, dict) and isinstance(own.get("name"), str) and not str(one["class_name"]).endswith("Policy")


def _not_of_keras(one: dict[str, Any]) -> str:
    """Module and name of an object that is not Keras' own; empty for the others."""
    name = str(one.get("class_name", ""))
    if name == "function":  # Keras' own functions are written as their names alone
        return f"{one.get('module')}:{one.get('config')}"
    module = str(one.get("module") or one.get("registered_name") or "keras")
    known = re.split("[.>]", module, maxsplit=1)[0] in _OF_KERAS or module == name
    return "" if known else f"{module}:{name}"


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Everything in a description that is made from a class."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)
