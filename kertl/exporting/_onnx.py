"""ONNX, for ONNX Runtime and what reads its files."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._runtimes import Runtime, open_onnx
from kertl.exporting._format import Format
from kertl.exporting._graph import frozen, silent

_CATCH_ERRORS = "TF2ONNX_CATCH_ERRORS"
_OPSET = 18
_FIRST = b"\x08"  # the tag of the version, with which every file of ONNX begins
_EXTRA = "'kertl[onnx]'"


class Onnx(Format):
    """An `.onnx` file with the contract in its `metadata_props`, under "kertl"."""

    name = "onnx"
    suffix = ".onnx"
    packages: ClassVar[dict[str, str]] = {"onnx": _EXTRA, "tf2onnx": _EXTRA, "onnxruntime": _EXTRA}

    def write(
        self, model: keras.Model, path: Path, contract: dict[str, Any], quantize: str | None, samples: np.ndarray | None
    ) -> None:
        """See `Format`."""
        import onnx

        function = frozen(model, contract, inlined=True)
        given, gives = function.inputs[0].name, function.outputs[0].name
        with silent(), _constants_written_once():
            proto = _converted(function.graph.as_graph_def(), given, gives)
        _rename(
            proto.graph,
            {given: contract["input"]["name"], gives: contract["output"]["name"]},
            contract["input"]["shape"][0],
        )
        onnx.helper.set_model_props(proto, {"kertl": json.dumps(contract)})
        onnx.checker.check_model(proto)
        onnx.save(proto, path)

    def is_there(self, path: Path) -> bool:
        """See `Format`."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(1) == _FIRST

    def open(self, path: Path) -> Runtime:
        """See `Format`."""
        return open_onnx(path)


def _converted(graph: Any, given: str, gives: str) -> Any:
    """The model of ONNX that a graph becomes.

    tf2onnx passes over an optimizer that fails, for which it copies the graph with all weights before each of a dozen,
    some rounds long; so it does that only where one has failed.
    """
    import tf2onnx

    def convert() -> Any:
        handlers: dict[str, Any] = {"Erfc": (_erfc, [])}
        return tf2onnx.convert.from_graph_def(
            graph, input_names=[given], output_names=[gives], opset=_OPSET, custom_op_handlers=handlers
        )[0]

    before = os.environ.pop(_CATCH_ERRORS, None)
    try:
        os.environ[_CATCH_ERRORS] = "FALSE"
        try:
            return convert()
        except Exception:  # whatever an optimizer raises; the second conversion raises what is really wrong
            del os.environ[_CATCH_ERRORS]  # its mere presence is read as "FALSE"
            return convert()
    finally:
        os.environ.pop(_CATCH_ERRORS, None)
        if before is not None:
            os.environ[_CATCH_ERRORS] = before


@contextlib.contextmanager
def _constants_written_once() -> Iterator[None]:
    """While a model is converted, constants that have not changed are not written into the graph again.

    tf2onnx does so after each optimizer, and protobuf frees none of those before.
    """
    from tf2onnx.graph import Node

    def update(node: Any, *storage: Any, **named: Any) -> None:
        written = {one.name: one for one in node.op.attribute}
        if not node.is_const() or written != node.attr:
            original(node, *storage, **named)

    original, Node.update_proto = Node.update_proto, update
    try:
        yield
    finally:
        Node.update_proto = original


def _erfc(context: Any, node: Any, name: str, arguments: list[Any]) -> None:
    """The complementary error function, which exact GELU takes in TensorFlow and ONNX lacks, as 1 - erf."""
    (output,) = node.output
    shape, kind = context.get_shape(output), context.get_dtype(output)
    one = context.make_const(f"{name}_one", np.ones((), np.float32))
    context.remove_node(name)
    erf = context.make_node("Erf", node.input, shapes=[shape], dtypes=[kind])
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=[output], shapes=[shape], dtypes=[kind], name=f"{name}_erfc"
    )


def _rename(graph: Any, names: dict[str, str], batch: int | None) -> None:
    """Give the ends of a graph the names of the contract, and an open first dimension the name `batch`."""
    for node in graph.node:
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                ends[place] = names.get(name, name)
    for end in (*graph.input, *graph.output):
        end.name = names.get(end.name, end.name)
        dimension = end.type.tensor_type.shape.dim[0]
        if batch is None:
            dimension.dim_param = "batch"
        else:
            dimension.dim_value = batch
