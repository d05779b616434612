"""The formats by name."""

from kertl.exporting._format import Format
from kertl.exporting._keras_file import KerasFile
from kertl.exporting._litert import LiteRT
from kertl.exporting._onnx import Onnx
from kertl.exporting._openvino import OpenVino
from kertl.exporting._saved_model import SavedModel
from kertl.exporting._tfjs import TensorFlowJs

FORMATS: dict[str, Format] = {
    one.name: one for one in (KerasFile(), SavedModel(), LiteRT(), Onnx(), OpenVino(), TensorFlowJs())
}
"""Every format that `kertl.export` writes."""


def variants() -> list[tuple[str, str | None]]:
    """Every format with every quantisation that it has."""
    return [(name, quantize) for name, one in FORMATS.items() for quantize in (None, *one.quantizations)]


def file_name(name: str, quantize: str | None) -> str:
    """What an export is called where nobody chose a name, such as `model-int8.tflite` or `openvino-int8`."""
    suffix = FORMATS[name].suffix
    return f"{'model' if suffix else name}{'' if quantize is None else f'-{quantize}'}{suffix}"
