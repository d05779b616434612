import importlib
import json

import keras
import pytest

import kertl
from kertl.cli import run
from tests.exporting.colours import solved
from tests.messages import assert_names
from tests.runs import unwrapped


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "m.keras"
    kertl.save(solved()[0], path)
    return path


def test_a_model_is_exported_and_inspected(saved, capsys):
    assert run(["export", str(saved), "--format", "litert", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["path"], found["where"]) == (str(saved.with_name("model.tflite")), "noise")
    assert run(["inspect", found["path"]]) == 0
    assert_names(capsys.readouterr().out, "litert", "single_label")


def test_a_wrong_format_is_told_before_the_model_is_loaded(saved, capsys, monkeypatch):
    monkeypatch.setattr(kertl, "load", lambda path: pytest.fail("loaded"))
    assert run(["export", str(saved), "--format", "tflite"]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "`--format`", "'litert'", "'tflite'")


def test_a_place_that_has_something_else_is_told_as_the_option(saved, tmp_path, capsys):
    (tmp_path / "m.onnx").write_text("keep")
    assert run(["export", str(saved), "--format", "onnx", "--out", str(tmp_path / "m.onnx")]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "`--out` must be new", "m.onnx", "`kertl export --help`")


def test_formats_are_compared(saved, tmp_path, capsys):
    assert run(["benchmark", str(saved), "--format", "keras", "--out", str(tmp_path)]) == 0
    assert_names(capsys.readouterr().out, "keras", "noise")


def test_a_layer_of_ones_own_is_named_with_the_way_out_and_that_way_goes(tmp_path, capsys, monkeypatch):
    (tmp_path / "mine_of_test_export.py").write_text(
        "import keras\n\n\nclass Mine(keras.layers.Layer):\n    def call(self, x):\n        return x * 2\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("mine_of_test_export").Mine()
    layers = [keras.Input((8, 8, 3)), mine, keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    keras.Sequential(layers).save("m.keras")
    for command in ("export", "benchmark", "sensitivity"):
        assert run([command, "m.keras"]) == 1
        assert_names(unwrapped(capsys.readouterr().err), "'Mine'", "`--custom mine_of_test_export:Mine`")
    told = ["m.keras", "--format", "keras", "--custom", "mine_of_test_export:Mine"]
    assert run(["export", *told, "--out", "a.keras"]) == run(["benchmark", *told, "--out", "b"]) == 0
    assert_names(capsys.readouterr().out, "noise")
    assert run(["sensitivity", "m.keras", "--custom", "mine_of_test_export:Mine"]) == 1
    assert_names(unwrapped(capsys.readouterr().err), "no training images")


def test_verify_ends_with_1_if_a_file_is_not_as_it_was(saved, tmp_path, capsys):
    (tmp_path / "model.keras").write_bytes(saved.read_bytes())
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  model.keras\n")
    (tmp_path / "data.csv").write_text("file,sha256\n")
    (tmp_path / "environment.json").write_text("{}")
    assert run(["verify", str(tmp_path)]) == 1
    assert "not 0000" in unwrapped(capsys.readouterr().out)
    (tmp_path / "SHA256SUMS").write_text(f"{kertl.inspect(saved).sha256}  model.keras\n")
    assert run(["verify", str(tmp_path)]) == 0
