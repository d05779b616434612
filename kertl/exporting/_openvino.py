"""OpenVINO, for processors of Intel and others."""

import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl.exporting._contract import NOTE
from kertl.exporting._format import Format, Runtime
from kertl.exporting._graph import frozen
from kertl.features import openvino_core

_FILE = "model.xml"


class OpenVino(Format):
    """A folder with `model.xml`, `model.bin` and `kertl.json`; the contract is also in the model, under "kertl"."""

    name = "openvino"
    packages: ClassVar[dict[str, str]] = {"openvino": "'kertl[openvino]'"}

    def write(
        self, model: keras.Model, path: Path, contract: dict[str, Any], quantize: str | None, samples: np.ndarray | None
    ) -> None:
        """See `Format`."""
        import openvino

        function = frozen(model, contract)
        with tempfile.TemporaryDirectory() as folder:
            graph = Path(folder) / "graph.pb"
            graph.write_bytes(function.graph.as_graph_def().SerializeToString())
            converted = openvino_core().read_model(graph)
            converted.input(0).get_tensor().set_names({contract["input"]["name"]})
            converted.output(0).get_tensor().set_names({contract["output"]["name"]})
            converted.set_rt_info(json.dumps(contract), ["kertl"])
            openvino.save_model(converted, path / _FILE, compress_to_fp16=False)
        (path / NOTE).write_text(json.dumps(contract, indent=2), encoding="utf-8")

    def open(self, path: Path) -> Runtime:
        """See `Format`."""
        # On a processor that has bfloat16, OpenVINO computes in it unless told otherwise.
        compiled = openvino_core().compile_model(path / _FILE, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda images: np.array(compiled(images.astype(np.float32))[compiled.output(0)])
