"""Which groups 8 bits hurt, and leaving them in float; 8 bits in OpenVINO."""

import numpy as np
import pytest

import kertl
from kertl.exporting import Sensitivity, sensitivity
from tests.exporting.colours import solved
from tests.messages import assert_names
from tests.runs import squares, tiny


@pytest.fixture(scope="module")
def spoilt():
    """A model with one channel that is a thousand times as large as the others, and counts for nothing."""
    model = tiny()
    kernel, bias = model.get_layer("predictions").get_weights()
    kernel[3] = 0
    model.get_layer("predictions").set_weights([40 * kernel, bias])
    stem = next(layer for layer in model._flatten_layers() if layer.name == "block2_conv")
    kernel, bias = stem.get_weights()
    stem.set_weights([kernel, np.where(np.arange(16) == 3, 3000.0, bias)])
    return model


def test_the_group_that_8_bits_spoil_is_found_and_helps_in_float(spoilt, tmp_path):
    data = squares()
    found = sensitivity(spoilt, data=data)
    assert found.images == data.train.num_examples
    assert found.groups[-1].group == "all"
    worst = found.groups[0]
    assert [one.difference for one in found.groups[:-1]] == sorted(
        (g.difference for g in found.groups[:-1]), reverse=True
    )
    assert {one.group for one in found.groups[:2]} == {"block2", "head"}  # what makes the channel, and what takes it
    assert worst.difference > 20 * found.groups[2].difference
    assert Sensitivity.from_json(found.to_json()) == found
    options = {"format": "litert", "quantize": "int8", "data": data}
    mixed = kertl.export(spoilt, tmp_path / "m.tflite", float_groups=["block2", "head"], **options)
    assert mixed.difference < 0.2 * found.groups[-1].difference
    assert mixed.within_one_step is None


def test_float_groups_are_refused_where_nothing_is_in_8_bits(tmp_path):
    model, data = solved()
    for options in ({}, {"format": "litert"}, {"format": "openvino", "quantize": "int8"}):
        path = tmp_path / {"litert": "m.tflite", "openvino": "o"}.get(options.get("format"), "m.keras")
        with pytest.raises(ValueError, match="`float_groups` must be left out unless the format is 'litert'"):
            kertl.export(model, path, float_groups=["head"], data=data, **options)
    with pytest.raises(ValueError, match="float_groups") as told:
        kertl.export(
            model, tmp_path / "m.tflite", format="litert", quantize="int8", data=data, float_groups=["no such"]
        )
    assert_names(str(told.value), "names of layer groups", "'head'", "no such")


def test_openvino_in_8_bits_decides_as_the_model(tmp_path):
    model, data = solved()
    found = kertl.export(model, tmp_path / "o", format="openvino", quantize="int8", data=data)
    assert found.same == 1
    assert 0 < found.difference < 0.1
    assert "FakeQuantize" in (tmp_path / "o" / "model.xml").read_text()
