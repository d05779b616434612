import json
import zipfile

import numpy as np
import pytest

import kertl
from tests.exporting.colours import solved

BATCH = 5  # of 12 test images, so that the last batch is not whole


@pytest.fixture(scope="module")
def told():
    return solved()


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_litert_takes_so_many_pictures(told, tmp_path, quantize):
    from ai_edge_litert.interpreter import Interpreter

    model, data = told
    found = kertl.export(model, tmp_path / "m.tflite", format="litert", quantize=quantize, data=data, batch=BATCH)
    assert found.images == 12
    assert found.same > 0.9
    interpreter = Interpreter(str(tmp_path / "m.tflite"))
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [BATCH, 32, 32, 3]
    with zipfile.ZipFile(tmp_path / "m.tflite") as attached:
        assert json.loads(attached.read("kertl.json"))["input"]["shape"] == [BATCH, 32, 32, 3]


def test_onnx_takes_so_many_pictures(told, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model, data = told
    found = kertl.export(model, tmp_path / "m.onnx", format="onnx", data=data, batch=BATCH)
    assert found.difference < 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    assert session.get_inputs()[0].shape == [BATCH, 32, 32, 3]
    assert session.get_outputs()[0].shape == [BATCH, 3]
    x = data.validation.in_order().batch(0, 0)[0][:BATCH]
    said = session.run(None, {"images": x.astype("float32")})[0]
    np.testing.assert_allclose(said, model.predict(x, verbose=0), atol=1e-4)


def test_openvino_takes_so_many_pictures(told, tmp_path):
    openvino = pytest.importorskip("openvino")
    model, data = told
    kertl.export(model, tmp_path / "openvino", format="openvino", data=data, batch=BATCH)
    read = openvino.Core().read_model(tmp_path / "openvino" / "model.xml")
    assert list(read.input(0).shape) == [BATCH, 32, 32, 3]


@pytest.mark.parametrize(("format_", "batch"), [("keras", 5), ("saved_model", 5), ("onnx", 0)])
def test_what_cannot_be_fixed_is_refused(told, tmp_path, format_, batch):
    path = tmp_path / {"keras": "m.keras", "onnx": "m.onnx"}.get(format_, "saved")
    with pytest.raises(ValueError, match="`batch` must be"):
        kertl.export(told[0], path, format=format_, data=told[1], batch=batch)
    assert list(tmp_path.iterdir()) == []
