"""Running a prefix with OpenVINO, which on a CPU is two to eight times as fast as Keras' own forward pass."""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._keras import with_constants
from kertl._runtimes import openvino_core
from kertl.features._engines import TensorFlowEngine
from kertl.hardware import devices

_HINTS = {"float32": "f32", "mixed_bfloat16": "bf16"}


def obstacle(precision: str) -> str:
    """Why OpenVINO cannot run a prefix here; empty if it can."""
    backend = keras.backend.backend()
    accelerators = [device for device in devices() if not device.startswith("cpu")]
    if accelerators:
        return f"there is {accelerators[0]} to compute on"
    if precision not in _HINTS:
        return f"OpenVINO does not compute in {precision}"
    if importlib.util.find_spec("openvino") is None:
        return "OpenVINO is not installed (pip install 'kertl[openvino]')"
    if backend != "tensorflow":
        # Keras' exporter on the JAX backend produces operations that OpenVINO 2026.4 does not know.
        return f"models of the {backend} backend are not converted for OpenVINO"
    return ""


class OpenVinoEngine:
    """A prefix converted for OpenVINO.

    Its graph is the one that TensorFlow has already traced, with weights as constants. OpenVINO reads it in a quarter
    of the time that Keras' exporter takes, and without the extra outputs with which the exporter prevents fusions.

    Args:
        traced: The engine of the prefix, in float32, on TensorFlow.
        precision: "float32" or "mixed_bfloat16".
    """

    name = "openvino"

    def __init__(self, traced: TensorFlowEngine, precision: str) -> None:
        core = openvino_core()
        with tempfile.TemporaryDirectory() as folder:
            model, names = _converted(core, traced, Path(folder) / "prefix.pb")
            # On a processor that has bfloat16, OpenVINO computes in it unless told otherwise.
            self._compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": _HINTS[precision]})
        self._outputs = [self._compiled.output(name) for name in names]

    def send(self, batch: np.ndarray) -> Any:
        return batch

    def run(self, batch: Any) -> Any:
        results = self._compiled(batch)
        return [np.array(results[output]) for output in self._outputs]

    def fetch(self, outputs: Any) -> list[np.ndarray]:
        return outputs


def _converted(core: Any, traced: TensorFlowEngine, path: Path) -> tuple[Any, list[str]]:
    """The model for OpenVINO, and the names of what crosses the boundary, in order."""
    function = with_constants(traced.compiled.get_concrete_function())
    path.write_bytes(function.graph.as_graph_def().SerializeToString())
    return core.read_model(path), [output.name for output in function.outputs]
