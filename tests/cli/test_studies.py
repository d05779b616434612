import dataclasses
import json

import keras
import numpy as np
import pytest
import typer
from PIL import Image

from kertl.cli import run
from kertl.cli._app import app
from kertl.cli._images import DataOptions
from tests.families import lively, small_classifier
from tests.messages import assert_names
from tests.runs import unwrapped


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Red, green and blue pictures, a folder of each, and somebody's model."""
    folder = tmp_path_factory.mktemp("squares")
    noise = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for number in range(32):
            pixels = noise.integers(0, 60, (32, 32, 3), dtype="uint8")
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    path = tmp_path_factory.mktemp("model") / "theirs.keras"
    keras.utils.set_random_seed(0)
    lively(small_classifier(), noise.integers(0, 255, (16, 32, 32, 3)).astype("float32")).save(path)
    return [str(folder), "--backbone", str(path)]


def test_baselines_prints_a_table_and_writes_json_and_picture(arguments, tmp_path, capsys):
    assert run(["baselines", *arguments, "--boundary", "block2", "--boundary", "block4", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    values = json.loads((tmp_path / "baselines.json").read_text())
    assert {row["boundary"] for row in values["rows"]} == {"block2", "block4", "block2 + block4"}
    assert values["best"]["validation_accuracy"] > 0.8
    assert f"{values['best']['validation_accuracy']:.4f}" in printed
    assert "baselines.json and baselines.png" in printed
    with Image.open(tmp_path / "baselines.png") as picture:
        assert picture.format == "PNG"


def test_cross_validate_prints_the_folds_and_writes_the_predictions(arguments, tmp_path, capsys):
    options = ["--folds", "3", "--epochs", "4", "--learning-rate", "0.05", "--test", "0.25", "--seed", "1"]
    assert run(["cross-validate", *arguments, *options, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    values = json.loads((tmp_path / "cross_validation.json").read_text())
    assert len(values["folds"]) == 3
    assert len(values["predictions"]) == 72
    assert f"Accuracy {values['mean']:.4f}" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cross_validation.json", "cross_validation.png"]
    assert run(["report", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert f"Accuracy {values['mean']:.4f}" in page
    (tmp_path / "cross_validation.json").write_text("{}")
    assert run(["report", str(tmp_path)]) == 1
    assert "must hold what the study wrote" in unwrapped(capsys.readouterr().err)


def test_learning_curve_prints_its_advice_and_writes_json_and_picture(arguments, tmp_path, capsys):
    sizes = ["--size", "12", "--size", "24", "--size", "48", "--repeats", "2"]
    assert run(["learning-curve", *arguments, *sizes, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    values = json.loads((tmp_path / "learning_curve.json").read_text())
    assert [point["size"] for point in values["points"]] == [12, 24, 48]
    assert values["reasons"] in " ".join(printed.split())
    assert (tmp_path / "learning_curve.png").stat().st_size > 10_000


def test_what_a_recipe_says_is_not_said_beside_it(arguments, capsys):
    assert run(["cross-validate", *arguments, "--recipe", "deep", "--at", "mid"]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "`--at`", "--recipe", "--stage")


def test_a_wrong_boundary_is_one_readable_block(arguments, capsys):
    assert run(["cross-validate", *arguments, "--at", "block9"]) == 2
    assert "block4" in capsys.readouterr().err


def test_studies_take_the_options_of_images_that_training_takes(arguments, tmp_path):
    options = ["--task", "binary", "--class-name", "green", "--class-name", "red"]
    taken = {name: set(_signature(name)) for name in ("train", "baselines", "cross-validate", "learning-curve")}
    for name in ("baselines", "cross-validate", "learning-curve"):
        left_out = {"validation" if name == "cross-validate" else "separator"}
        assert {field.name for field in dataclasses.fields(DataOptions)} - taken[name] == left_out
    assert {field.name for field in dataclasses.fields(DataOptions)} <= taken["train"]
    two = tmp_path / "two"
    two.mkdir()
    for name in ("red", "green"):
        (two / name).symlink_to(f"{arguments[0]}/{name}", target_is_directory=True)
    assert run(["baselines", str(two), *arguments[1:], *options, "--boundary", "block4", "--out", str(two)]) == 0
    assert json.loads((two / "baselines.json").read_text())["best"]["validation_accuracy"] > 0.8


def _signature(command):
    known = typer.main.get_command(app).commands[command]
    return [parameter.name for parameter in known.params]
