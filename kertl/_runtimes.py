"""What computes an export: OpenVINO, ONNX Runtime and LiteRT, none of which needs Keras."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kertl.hardware import cores

# From a batch of pictures, `uint8` of shape `(n, height, width, channels)`, to predictions.
Runtime = Callable[[np.ndarray], np.ndarray]

OPENVINO_FILE = "model.xml"
"""The file in the folder of an OpenVINO export that has its graph."""


@functools.cache
def openvino_core() -> Any:
    """OpenVINO's CPU core, made once per process.

    Each core of OpenVINO 2026.4 gives the thread that makes it a stack for signals. With two cores, the first to be
    deleted leaves the thread with freed memory, and the next Ctrl-C is a segmentation fault.
    """
    import openvino

    return openvino.Core()


def open_openvino(path: Path) -> Runtime:
    """The folder of an OpenVINO export, in float32."""
    # On a processor that has bfloat16, OpenVINO computes in it unless told otherwise.
    compiled = openvino_core().compile_model(path / OPENVINO_FILE, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: np.array(compiled(images.astype(np.float32))[compiled.output(0)])


def open_onnx(path: Path) -> Runtime:
    """An `.onnx` file, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda images: np.asarray(session.run(None, {given.name: images.astype(np.float32)})[0])


def open_litert(path: Path) -> Runtime:
    """A `.tflite` file."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=cores())
    given, gives = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    prepared: list[tuple[int, ...]] = []

    def run(images: np.ndarray) -> np.ndarray:
        if prepared != [images.shape]:
            interpreter.resize_tensor_input(given["index"], images.shape)
            interpreter.allocate_tensors()
            prepared[:] = [images.shape]
        interpreter.set_tensor(given["index"], images.astype(given["dtype"]))
        interpreter.invoke()
        return np.array(interpreter.get_tensor(gives["index"]))

    return run


OPENERS: dict[str, Callable[[Path], Runtime]] = {
    "openvino": open_openvino,
    "onnx": open_onnx,
    "litert": open_litert,
}
"""What loads the export of a format."""
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "litert": "ai_edge_litert"}
"""The module that each takes."""
