"""LiteRT (TensorFlow Lite), for phones, small computers and microcontrollers: float32, or quantised after training."""

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._runtimes import Runtime, open_litert
from kertl.errors import ExportError
from kertl.exporting._compact import compacted
from kertl.exporting._contract import LABELS, NOTE
from kertl.exporting._format import Format
from kertl.exporting._graph import frozen, silent, traced
from kertl.quantization import baked, mixed_network, noted_network


class LiteRT(Format):
    """A `.tflite` file with `labels.txt` and `kertl.json` attached, as its metadata tools attach files: unzip has them.

    Quantised after training: "float16" halves the weights; "dynamic" stores weights in 8 bits, per channel, and rounds
    activations as they come; "int8" computes in 8 bits, with activation ranges measured on training images, and takes
    `uint8` pixels. All give float32 predictions.
    """

    name = "litert"
    suffix = ".tflite"
    packages: ClassVar[dict[str, str]] = {"ai_edge_litert": "'kertl[litert]'"}
    quantizations = ("float16", "dynamic", "int8")
    trained_ranges: bool = True

    def __init__(self, float_groups: Sequence[str] = ()) -> None:
        self._float_groups = tuple(float_groups)

    def with_float_groups(self, names: Sequence[str], quantize: str | None) -> Format:
        """See `Format`; the ranges of a training are used, but what was trained is not what it says."""
        if quantize != "int8":
            return super().with_float_groups(names, quantize)
        mixed = LiteRT(names)
        mixed.trained_ranges = False
        return mixed

    def write(
        self, model: keras.Model, path: Path, contract: dict[str, Any], quantize: str | None, samples: np.ndarray | None
    ) -> None:
        """See `Format`."""
        import tensorflow as tf

        network = None
        if self._float_groups:
            assert samples is not None
            network = mixed_network(model, self._float_groups, samples)
        elif quantize == "int8":
            network = noted_network(model)
        graph = frozen(model, contract) if network is None else traced(baked(network), contract)
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph], tf.Module())
        if quantize is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            if network is None:
                converter.representative_dataset = lambda: _in_batches(samples, contract["input"]["shape"][0] or 1)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
            contract["input"]["dtype"] = "uint8"
        with silent():
            content = compacted(converter.convert())
        if network is not None and not self._float_groups:
            _refuse_floats(content, model.name)
        (contract["output"]["name"],) = _interpreter(content).get_signature_list()["serving_default"]["outputs"]
        path.write_bytes(content)
        with zipfile.ZipFile(path, "a") as attached:
            attached.writestr(LABELS, "".join(f"{name}\n" for name in contract["output"]["labels"]))
            attached.writestr(NOTE, json.dumps(contract, indent=2))

    def is_there(self, path: Path) -> bool:
        """See `Format`."""
        return zipfile.is_zipfile(path)

    def open(self, path: Path) -> Runtime:
        """See `Format`."""
        return open_litert(path)


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content)


def _refuse_floats(content: bytes, name: str) -> None:
    """Raise unless everything between the pixels and the predictions is in whole numbers.

    Raises:
        ExportError: If not.
    """
    interpreter = _interpreter(content)
    ends = {one["index"] for one in (*interpreter.get_input_details(), *interpreter.get_output_details())}
    tensors = [one for one in interpreter.get_tensor_details() if one["index"] not in ends]
    found = sorted({np.dtype(one["dtype"]).name for one in tensors} - {"int8", "int32"})
    if found:
        raise ExportError(f"{name!r} in 8 bits must have no other tensors. Received: {', '.join(found)}.")


def _in_batches(samples: np.ndarray | None, size: int) -> Iterator[list[np.ndarray]]:
    """The samples so many at a time; the last batch is filled up with the first samples."""
    for start in range(0, 0 if samples is None else len(samples), size):
        assert samples is not None
        yield [np.take(samples, range(start, start + size), axis=0, mode="wrap").astype(np.float32)]
