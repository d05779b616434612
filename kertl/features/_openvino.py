"""Running a prefix by OpenVINO, which on a CPU is two to eight times as fast as Keras' own forward pass."""

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl.features._engines import Engine, TensorFlowEngine

_HINTS = {"float32": "f32", "mixed_bfloat16": "bf16"}


def obstacle(precision: str) -> str:
    """Why OpenVINO cannot run a prefix here; empty where it can."""
    backend = keras.backend.backend()
    accelerators = [device for device in keras.distribution.list_devices() if not str(device).startswith("cpu")]
    if accelerators:
        return f"there is {accelerators[0]} to compute on"
    if precision not in _HINTS:
        return f"OpenVINO does not compute in {precision}"
    if importlib.util.find_spec("openvino") is None:
        return "OpenVINO is not installed (pip install 'kertl[openvino]')"
    if backend not in ("tensorflow", "jax"):
        return f"models of the {backend} backend are not converted"
    if importlib.util.find_spec("tensorflow") is None:
        return "TensorFlow, by which models are converted for OpenVINO, is not installed"
    return ""


class OpenVinoEngine:
    """A prefix converted for OpenVINO.

    Args:
        prefix: The model, in float32.
        shape: Shape of every batch.
        dtype: Type of every batch; it becomes the model's own inside.
        precision: "float32" or "mixed_bfloat16".
        traced: The engine of the prefix on TensorFlow, where that is the backend.
    """

    name = "openvino"

    def __init__(self, prefix: keras.Model, shape: tuple[int, ...], dtype: Any, precision: str, traced: Engine) -> None:
        import openvino

        core = openvino.Core()
        with tempfile.TemporaryDirectory() as folder:
            if isinstance(traced, TensorFlowEngine):
                model, names = _from_tensorflow(core, traced, Path(folder))
            else:
                model, names = _from_export(core, prefix, shape, dtype, Path(folder))
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


def _from_tensorflow(core: Any, traced: TensorFlowEngine, folder: Path) -> tuple[Any, list[str]]:
    """The graph that TensorFlow has traced already, its weights made constants.

    Reading that file takes a quarter of the time of Keras' exporter, and it has no outputs but those asked for.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = convert_variables_to_constants_v2(traced.compiled.get_concrete_function(), lower_control_flow=False)
    path = folder / "prefix.pb"
    path.write_bytes(function.graph.as_graph_def().SerializeToString())
    return core.read_model(path), [output.name for output in function.outputs]


def _from_export(
    core: Any, prefix: keras.Model, shape: tuple[int, ...], dtype: Any, folder: Path
) -> tuple[Any, list[str]]:
    """What Keras' exporter makes of the prefix, without the outputs that it adds."""
    import openvino

    path = folder / "prefix.xml"
    prefix.export(str(path), format="openvino", verbose=False)
    model = core.read_model(path)
    count = len(prefix.outputs)
    wanted = sorted(
        (output for output in model.outputs if any(name.startswith("Identity") for name in output.names)),
        key=lambda output: sorted(output.names, key=lambda name: not name.startswith("Identity"))[0],
    )[:count]
    for output in model.outputs:
        if output not in wanted:
            model.remove_result(output.node)
    model.reshape(list(shape))
    if np.dtype(dtype) == np.uint8:
        steps = openvino.preprocess.PrePostProcessor(model)
        steps.input().tensor().set_element_type(openvino.Type.u8)
        model = steps.build()
    return model, [output.any_name for output in model.outputs]
