import pytest

import kertl
from kertl.exporting import Benchmark, file_name
from kertl.exporting._formats import variants
from tests.messages import assert_names


def test_formats_stand_side_by_side_and_those_that_are_not_there_say_why(finished, tmp_path, monkeypatch):
    monkeypatch.setenv("KERTL_TFJS_CONVERTER", str(tmp_path / "nowhere"))
    monkeypatch.setattr("kertl.exporting._benchmark._SECONDS", 0.05)
    found = kertl.benchmark(finished.run_dir, formats=["keras", "litert", "litert:int8", "tfjs"], out=tmp_path / "out")
    keras_row, litert, int8, tfjs = found.rows
    for row in (keras_row, litert, int8):
        assert row.export.path.exists()
        assert 0 < row.one_ms < row.batch_ms
        assert row.images_per_second == pytest.approx(32_000 / row.batch_ms)
        assert row.export.interval[0] <= row.export.score <= row.export.interval[1]
    assert keras_row.export.score == pytest.approx(finished.metrics["test"]["accuracy"])
    assert int8.export.size_bytes < litert.export.size_bytes
    assert tfjs.export is None
    assert_names(tfjs.note, "tfjs", "KERTL_TFJS_CONVERTER=tfjs/bin/tensorflowjs_converter")
    assert_names(found.table(), "litert int8", "accuracy", "tfjs")
    assert Benchmark.from_json(found.to_json()) == found
    card = (tmp_path / "out" / "model_card.md").read_text()
    assert_names(card, "model-int8.tflite", "model.tflite", "model.keras")


def test_the_formats_of_a_run_go_into_its_directory_by_default(finished, monkeypatch):
    monkeypatch.setattr("kertl.exporting._benchmark._SECONDS", 0.05)
    kertl.benchmark(finished.run_dir, formats=["keras"])
    assert {one.name for one in (finished.run_dir / "export").iterdir()} == {
        "exports.json",
        "model.keras",
        "model_card.md",
    }
    assert kertl.fine_tune  # the directory still is a finished run
    assert not kertl.verify(finished.run_dir).problems


def test_every_form_has_a_place_of_its_own():
    forms = [("openvino", None), ("openvino", "int8"), ("litert", None), ("litert", "int8"), ("saved_model", None)]
    names = ["openvino", "openvino-int8", "model.tflite", "model-int8.tflite", "saved_model"]
    assert [file_name(*form) for form in forms] == names
    every = [file_name(*form) for form in variants()]
    assert len(set(every)) == len(every)


def test_an_unknown_format_is_named(finished):
    with pytest.raises(ValueError, match="'litert:int4'") as caught:
        kertl.benchmark(finished.run_dir, formats=["litert:int4"])
    assert_names(caught.value, "'litert:int8'", "'onnx'")
