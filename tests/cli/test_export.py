import json

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


def test_formats_are_compared(saved, tmp_path, capsys):
    assert run(["benchmark", str(saved), "--format", "keras", "--out", str(tmp_path)]) == 0
    assert_names(capsys.readouterr().out, "keras", "noise")


def test_verify_ends_with_1_if_a_file_is_not_as_it_was(saved, tmp_path, capsys):
    (tmp_path / "model.keras").write_bytes(saved.read_bytes())
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  model.keras\n")
    (tmp_path / "data.csv").write_text("file,sha256\n")
    (tmp_path / "environment.json").write_text("{}")
    assert run(["verify", str(tmp_path)]) == 1
    assert "not 0000" in unwrapped(capsys.readouterr().out)
    (tmp_path / "SHA256SUMS").write_text(f"{kertl.inspect(saved).sha256}  model.keras\n")
    assert run(["verify", str(tmp_path)]) == 0
