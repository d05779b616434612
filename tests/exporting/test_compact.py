import numpy as np
import pytest

import kertl
from kertl.exporting import _litert
from tests.exporting.colours import solved

pytest.importorskip("ai_edge_litert")


@pytest.mark.parametrize("quantize", [None, "dynamic", "int8"])
def test_a_smaller_file_gives_the_same_bits(tmp_path, monkeypatch, quantize):
    from ai_edge_litert import schema_py_generated as schema

    model, data = solved()
    kertl.export(model, tmp_path / "small.tflite", format="litert", quantize=quantize, data=data)
    monkeypatch.setattr(_litert, "compacted", lambda content: content)
    kertl.export(model, tmp_path / "large.tflite", format="litert", quantize=quantize, data=data)
    small, large = (tmp_path / f"{size}.tflite" for size in ("small", "large"))
    assert small.stat().st_size < large.stat().st_size
    pictures = data.validation.in_order().batch(0, 0)[0]
    runtime = _litert.LiteRT()
    np.testing.assert_array_equal(runtime.open(small)(pictures), runtime.open(large)(pictures))
    content = np.frombuffer(small.read_bytes(), np.uint8)
    read = schema.Model.GetRootAs(content, 0)
    places = [read.Buffers(number).DataAsNumpy() for number in range(read.BuffersLength())]
    starts = [one.ctypes.data - content.ctypes.data for one in places if isinstance(one, np.ndarray) and one.size]
    assert starts
    assert all(start % 16 == 0 for start in starts)
