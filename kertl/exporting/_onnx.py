"""ONNX, for ONNX Runtime and what reads its files."""

import json
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._runtimes import Runtime, open_onnx
from kertl.exporting._format import Format
from kertl.exporting._graph import frozen, silent

_OPSET = 18
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
        import tf2onnx

        function = frozen(model, contract)
        given, gives = function.inputs[0].name, function.outputs[0].name
        with silent():
            proto, _ = tf2onnx.convert.from_graph_def(
                function.graph.as_graph_def(), input_names=[given], output_names=[gives], opset=_OPSET
            )
        _rename(
            proto.graph,
            {given: contract["input"]["name"], gives: contract["output"]["name"]},
            contract["input"]["shape"][0],
        )
        onnx.helper.set_model_props(proto, {"kertl": json.dumps(contract)})
        onnx.checker.check_model(proto)
        onnx.save(proto, path)

    def open(self, path: Path) -> Runtime:
        """See `Format`."""
        return open_onnx(path)


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
