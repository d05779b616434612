"""OpenVINO, for processors of Intel and others."""

import contextlib
import io
import json
import logging
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._runtimes import OPENVINO_FILE, Runtime, open_openvino, openvino_core
from kertl.exporting._contract import NOTE
from kertl.exporting._format import Format
from kertl.exporting._graph import frozen


class OpenVino(Format):
    """A folder with `model.xml`, `model.bin` and `kertl.json`; the contract is also in the model, under "kertl".

    "int8" is NNCF's quantisation after training: where it rounds is in the model, as `FakeQuantize`, and OpenVINO
    computes in 8 bits where the processor can. `kertl.json` says which pictures go in as before, of 0..255.
    """

    name = "openvino"
    packages: ClassVar[dict[str, str]] = {"openvino": "'kertl[openvino]'"}
    quantizations = ("int8",)
    quantizing_packages: ClassVar[dict[str, str]] = {"nncf": "'kertl[nncf]'"}

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
            if quantize == "int8":
                assert samples is not None
                converted = _quantised(converted, samples, contract["input"]["shape"][0] or 1)
            converted.set_rt_info(json.dumps(contract), ["kertl"])
            openvino.save_model(converted, path / OPENVINO_FILE, compress_to_fp16=False)
        (path / NOTE).write_text(json.dumps(contract, indent=2), encoding="utf-8")

    def open(self, path: Path) -> Runtime:
        """See `Format`."""
        return open_openvino(path)


def _quantised(model: Any, samples: np.ndarray, size: int) -> Any:
    """The model with rounding to 8 bits, whose ranges are measured on the samples, so many at a time."""
    import nncf

    batches = [
        np.take(samples, range(start, start + size), axis=0, mode="wrap").astype(np.float32)
        for start in range(0, len(samples), size)
    ]
    logger = logging.getLogger("nncf")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            return nncf.quantize(model, nncf.Dataset(batches), subset_size=len(batches))
    finally:
        logger.setLevel(before)
