import zipfile

import keras
import pytest

import kertl
from kertl.errors import WeightsError
from kertl.inspection import Inspection
from kertl.run_files import sha256_of
from tests.exporting.colours import solved
from tests.families import small_classifier, tiny_backbone
from tests.messages import assert_names
from tests.runs import NAMES


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_tells_its_layers_and_weights_without_being_built(tmp_path, monkeypatch, suffix):
    model = small_classifier(backbone=tiny_backbone)
    path = tmp_path / f"m{suffix}"
    if suffix == ".keras":
        kertl.save(kertl.model.describe(model, class_names=NAMES), path)
    else:
        model.save(path)
    monkeypatch.setattr(keras.saving, "load_model", lambda *given, **options: pytest.fail("built"))
    found = kertl.inspect(path)
    own = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model | keras.layers.InputLayer)]
    assert sum(count for kind, count in found.layers.items() if kind != "Functional") == len(own)
    assert found.layers["Conv2D"] == sum(isinstance(layer, keras.layers.Conv2D) for layer in own)
    assert found.parameters >= model.count_params()
    assert found.parameters - model.count_params() < 10
    assert found.input_shapes == ((32, 32, 3),)
    assert (found.keras, found.sha256) == (keras.__version__, sha256_of(path))
    assert found.custom == found.code == ()
    assert found.noted.get("class_names") == (NAMES if suffix == ".keras" else None)
    assert Inspection.from_json(found.to_json()) == found


class Strange(keras.layers.Layer):
    def call(self, x):
        return x * 2


def odd(x):
    return x


def test_what_loading_needs_besides_keras_is_listed(tmp_path):
    layers = [keras.Input((4, 4, 3)), Strange(), keras.layers.Conv2D(2, 1, activation=odd)]
    keras.Sequential([*layers, keras.layers.Lambda(lambda x: x)]).save(tmp_path / "m.keras")
    found = kertl.inspect(tmp_path / "m.keras")
    assert any(one.endswith(":Strange") for one in found.custom)
    assert any(one.endswith(":odd") for one in found.custom)
    assert len(found.custom) == 2
    assert found.code == ("Lambda", "__lambda__")
    assert_names(found.table(), "Lambda")


def test_exports_and_runs_are_inspected_too(finished, tmp_path):
    assert kertl.inspect(finished.run_dir).path == finished.run_dir / "model.keras"
    model, data = solved()
    kertl.export(model, tmp_path / "m.tflite", format="litert", data=data)
    kertl.export(model, tmp_path / "o", format="openvino", data=data)
    for path in (tmp_path / "m.tflite", tmp_path / "o"):
        found = kertl.inspect(path)
        assert found.noted["output"]["labels"] == NAMES
        assert found.noted["input"]["dtype"] == "float32"
        assert found.size_bytes == sum(one.stat().st_size for one in [path, *path.rglob("*")] if one.is_file())


def test_an_onnx_file_tells_its_operators_weights_and_contract(tmp_path):
    onnx = pytest.importorskip("onnx")
    model, data = solved()
    kertl.export(model, tmp_path / "m.onnx", format="onnx", data=data)
    found = kertl.inspect(tmp_path / "m.onnx")
    assert found.noted["output"] == {"name": "probabilities", "labels": NAMES}
    assert found.input_shapes == (model.input_shape[1:],)
    assert found.layers["Conv"] >= 1
    assert model.count_params() * 0.8 < found.parameters < model.count_params() * 1.2
    assert found.custom == ()
    assert Inspection.from_json(found.to_json()) == found
    node = onnx.helper.make_node("Odd", ["x"], ["y"], domain="elsewhere")
    ends = [onnx.helper.make_tensor_value_info(name, 1, [None, 3]) for name in "xy"]
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph([node], "strange", ends[:1], ends[1:])), tmp_path / "o.onnx"
    )
    found = kertl.inspect(tmp_path / "o.onnx")
    assert (found.custom, found.noted, found.input_shapes) == (("elsewhere:Odd",), {}, ((3,),))


def test_a_run_that_was_interrupted_is_told_from_a_folder_that_is_none(tmp_path):
    with pytest.raises(WeightsError, match="no run and no export"):
        kertl.inspect(tmp_path)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(WeightsError, match="resumes it"):
        kertl.inspect(tmp_path)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"no archive")
    (tmp_path / "m.h5").write_bytes(b"no HDF5")
    (tmp_path / "m.txt").write_bytes(b"text")
    (tmp_path / "m.onnx").write_bytes(b"no ONNX")
    with zipfile.ZipFile(tmp_path / "empty.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    for name in ("m.keras", "m.h5", "m.onnx", "m.txt", "empty.keras", "none.keras", "."):
        with pytest.raises(WeightsError, match=r"inspected|must be|There is no"):
            kertl.inspect(tmp_path / name)
