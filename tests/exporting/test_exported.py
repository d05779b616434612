"""The export of a run answers in place of its model: equally, without Keras, and only while nothing has changed."""

import dataclasses
import json
import shutil
import types

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import kertl
from kertl.cli import run as kertl_command
from kertl.cli._engine import ENGINES
from kertl.errors import ArgumentError, RunError
from kertl.exporting import exported
from kertl.model import model_info, set_model_info
from kertl.report._server import application
from tests.messages import assert_names
from tests.runs import python

NAMES = ["temple", "flower", "both"]
CASES = {  # task, resize, channels, thresholds, engine
    "single label": ("single_label", "stretch", 3, (), "openvino"),
    "several labels, padded": ("multi_label", "pad", 3, (0.3, 0.5, 0.62), "openvino"),
    "yes or no, cropped": ("binary", "crop", 3, (0.41,), "onnx"),
    "numbers": ("regression", "stretch", 3, (), "litert"),
    "gray, padded": ("single_label", "pad", 1, (), "litert"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Parts of two photographs, of different shapes, in a folder each; JPEG and PNG."""
    folder, random = tmp_path_factory.mktemp("exported") / "photos", np.random.default_rng(0)
    for name, whole in zip(NAMES, load_sample_images().images, strict=False):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            (top, left), (height, width) = random.integers(0, 200, 2), random.integers(60, 220, 2)
            part = Image.fromarray(whole[top : top + height, left : left + width])
            part.save(folder / name / f"{number}.{'png' if number % 2 else 'jpg'}")
    return folder


def run_with(model, folder):
    """A run directory as far as it is asked: with its model."""
    kertl.save(model, folder / "model.keras")
    return folder


def colourful(folder, task="single_label", resize="stretch", channels=3, thresholds=()):
    """A run whose model says something else about each of the photos."""
    names = NAMES[:2] if task == "binary" else NAMES
    keras.utils.set_random_seed(3)
    inputs = keras.Input((32, 32, channels))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    x = keras.layers.Conv2D(16, 5, strides=2, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    activation, units = kertl.tasks.TASKS[task].activation, kertl.tasks.TASKS[task].outputs(len(names))
    outputs = keras.layers.Dense(units, activation, kernel_initializer=keras.initializers.RandomNormal(stddev=2))(x)
    model = keras.Model(inputs, outputs, name="colourful")
    info = kertl.model.ModelInfo(task, tuple(names), "none", "1", thresholds=thresholds, resize=resize)
    return run_with(set_model_info(model, info), folder)


def answered(run, photos, capsys, *options):
    """What `kertl predict` answers, and what it says of who answers."""
    capsys.readouterr()
    assert kertl_command(["predict", str(run), str(photos), "--json", *options]) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def assert_close(found, expected, at_most, where="answers"):
    """Two answers that are the same but for numbers, which are near each other."""
    if isinstance(expected, float):
        assert abs(found - expected) <= at_most, where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name in expected:
            assert_close(found[name], expected[name], at_most, f"{where} {name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, at_most, f"{where} {number}")
    else:
        assert found == expected, where


@pytest.fixture(scope="module")
def single(photos, tmp_path_factory):
    """A run with an export for OpenVINO."""
    run = colourful(tmp_path_factory.mktemp("single"))
    kertl.export(run, run / "export" / "openvino", format="openvino", data=photos)
    return run


@pytest.mark.parametrize("case", CASES)
def test_the_export_answers_as_the_model_does(photos, tmp_path, capsys, case):
    *made, engine = CASES[case]
    run = colourful(tmp_path, *made)
    data = kertl.data.images(photos, image_size=(32, 32), resize=made[1], channels=made[2])
    path = run / "export" / kertl.exporting.file_name(engine, None)
    kertl.export(run, path, format=engine, data=data)
    expected, told = answered(run, photos, capsys, "--engine", "keras")
    assert "Answers: Keras." in told
    found, told = answered(run, photos, capsys)
    assert "Answers: " in told
    assert path.name in told.replace("\n", "")
    values = kertl.predict(kertl.load(run), data)
    assert np.ptp(values, axis=0).min() > 0.01  # not one answer for all
    assert len(expected) == 12
    assert_close(found, expected, 1e-4 * (values.std(axis=0).max() if made[0] == "regression" else 1))


def test_after_a_new_temperature_the_old_export_is_stale_and_a_new_one_agrees(photos, tmp_path, capsys):
    run = colourful(tmp_path, "binary", "stretch", 3, (0.41,))
    kertl.export(run, run / "export" / "openvino", format="openvino", data=photos)
    model = kertl.load(run)
    before, _ = answered(run, photos, capsys)
    model.layers[-1].set_weights([weight / 2 for weight in model.layers[-1].get_weights()])  # a temperature of 2
    set_model_info(model, dataclasses.replace(model_info(model), thresholds=(0.45,)))
    run_with(model, run)
    expected, told = answered(run, photos, capsys)
    assert "Answers: Keras (model.keras has changed since it was exported)." in told.replace("\n", "")
    assert (
        max(abs(one["probability"] - other["probability"]) for one, other in zip(before, expected, strict=True)) > 0.01
    )
    kertl.export(run, run / "export" / "openvino", format="openvino", data=photos)
    found, told = answered(run, photos, capsys)
    assert "Answers: OpenVINO" in told
    assert_close(found, expected, 1e-4)


def test_predict_and_the_server_import_neither_keras_nor_tensorflow(single, photos):
    printed = python(
        f"""
        import sys
        from pathlib import Path
        from kertl.cli import run
        assert run(["predict", {str(single)!r}, {str(photos)!r}, "--csv", "--abstain", "0.9"]) == 0
        assert run(["predict", {str(single)!r}, {str(photos)!r}, "--out", {str(single / "out.csv")!r}]) == 0
        from starlette.testclient import TestClient
        from kertl.exporting import exported
        from kertl.report._server import application
        with TestClient(application(exported({str(single)!r})[0])) as client:
            photo = next(Path({str(photos)!r}).rglob("*.jpg")).read_bytes()
            answer = client.post("/predict", content=photo, headers={{"content-type": "image/jpeg"}}).json()
        print(answer["answers"][0]["classes"][0]["class"])
        heavy = ("tensorflow", "keras", "sklearn", "scipy", "matplotlib", "h5py")
        print([name for name in heavy if name in sys.modules])
        """
    )
    lines = printed.splitlines()
    assert lines[0].startswith("file,class_1,probability_1")
    assert lines[-2] in NAMES
    assert lines[-1] == "[]"


def test_the_server_loads_the_model_itself_when_it_is_first_asked_what_speaks_for_an_answer(single, photos):
    client = pytest.importorskip("starlette.testclient")
    loaded = []

    def whole():
        loaded.append(kertl.load(single))
        return loaded[0], None

    photo = next(photos.rglob("*.jpg")).read_bytes()
    kind = {"headers": {"content-type": "image/jpeg"}}
    with client.TestClient(application(exported(single)[0], whole=whole)) as asked:
        (first,) = asked.post("/predict", content=photo, **kind).json()["answers"]
        assert not loaded
        for _ in range(2):
            (answer,) = asked.post("/explain", content=photo, **kind).json()["answers"]
            assert answer["places"].startswith("data:image/webp")
    assert len(loaded) == 1
    assert_close(answer["classes"], first["classes"], 1e-4)


@pytest.mark.parametrize("changed", ["model.keras", "export/openvino/model.bin", "gone"])
def test_what_has_changed_since_does_not_answer(single, tmp_path, changed):
    run = tmp_path / "run"
    shutil.copytree(single, run)
    assert exported(run)[0] is not None
    if changed == "gone":
        shutil.rmtree(run / "export" / "openvino")
    else:
        content = bytearray((run / changed).read_bytes())
        content[len(content) // 2] ^= 1
        (run / changed).write_bytes(content)
    found, why = exported(run)
    assert found is None
    assert ("is not there" if changed == "gone" else "has changed since") in why
    with pytest.raises(ArgumentError) as raised:
        exported(run, "openvino")
    assert_names(raised.value, "`engine`", "engine='openvino'", why)


def test_an_export_that_is_not_near_enough_or_not_checked_on_images_does_not_answer(single, photos, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(single, run)
    notes = json.loads((run / "export" / "exports.json").read_text())
    notes["openvino"]["deviation"] = 2e-4
    (run / "export" / "exports.json").write_text(json.dumps(notes))
    assert exported(run) == (None, "the openvino export differs by 0.0002, more than 0.0001")
    (run / "export" / "exports.json").write_text('{"openvino": {}}')
    with pytest.raises(RunError, match=r"kertl export.*again"):
        exported(run)
    shutil.rmtree(run / "export")
    for name, text in (("data.csv", "file,label,split,sha256\n"), ("data.json", "{}"), ("environment.json", "{}")):
        (run / name).write_text(text)
    assert kertl.export(run, run / "export" / "openvino", format="openvino").where == "noise"
    found, why = exported(run)
    assert found is None
    assert "has no export that was checked" in why
    kertl.export(run, run / "export" / "model.tflite", format="litert", quantize="float16", data=photos)
    assert exported(run)[0] is None


def test_a_model_that_was_trained_on_in_memory_is_not_noted_as_the_run_s(single, photos, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(single, run, ignore=shutil.ignore_patterns("export"))
    model = kertl.load(run)
    in_memory = types.SimpleNamespace(model=model, run_dir=run)
    kertl.export(in_memory, run / "export" / "openvino", format="openvino", data=photos)
    assert exported(run)[0] is not None
    shutil.rmtree(run / "export")
    model.layers[-1].set_weights([weight / 2 for weight in model.layers[-1].get_weights()])
    kertl.export(in_memory, run / "export" / "openvino", format="openvino", data=photos)
    assert exported(run)[0] is None


def test_what_only_the_model_can_do_is_done_by_keras_which_is_said(single, photos, capsys):
    _, told = answered(single, photos, capsys, "--image-size", "32")
    assert "Answers: Keras (what is said about the model needs it)." in told.replace("\n", "")
    assert kertl_command(["predict", str(single), str(photos), "--views", "1", "--engine", "openvino"]) == 2
    assert "`--engine` must be 'keras' or 'auto' here" in capsys.readouterr().err.replace("\n", " ").replace("│", "")


def test_the_engines_of_the_command_line_are_those_of_the_library():
    assert sorted(ENGINES) == sorted(kertl.exporting.ENGINES)
