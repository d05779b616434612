import json
import shlex

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import run
from tests.families import lively, small_classifier, tiny_backbone
from tests.messages import assert_names
from tests.runs import unwrapped


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Red, green and blue pictures, a folder of each, and somebody's model."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for number in range(12):
            pixels = noise.integers(0, 60, (32, 32, 3), dtype="uint8")
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    path = tmp_path_factory.mktemp("model") / "theirs.keras"
    keras.utils.set_random_seed(0)
    lively(small_classifier(backbone=tiny_backbone), noise.integers(0, 255, (16, 32, 32, 3)).astype("float32")).save(
        path
    )
    options = ["--image-size", "32", "--epochs", "1", "--batch-size", "8", "--validation", "0.25", "--test", "0.25"]
    return [str(folder), "--backbone", str(path), *options]


@pytest.mark.slow
def test_search_shows_its_trials_and_goes_on_and_report_shows_the_best(arguments, tmp_path, capsys):
    command = ["search", *arguments, "--strategy", "bayesian", "--out", str(tmp_path)]
    assert run([*command, "--trials", "1"]) == 0
    assert run([*command, "--trials", "2"]) == 0
    printed = capsys.readouterr()
    best = json.loads((tmp_path / "leaderboard.json").read_text())["trials"][0]
    assert "2 of at most 2 trials" in printed.err
    assert f"val_accuracy {best['value']:.4f}" in unwrapped(printed.out)
    assert run(["report", str(tmp_path)]) == 0
    assert "<svg" in (tmp_path / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(["search", "report", str(tmp_path)]) == 0
    printed = unwrapped(capsys.readouterr().out)
    assert "2 of 2 trials have a value" in printed
    assert f"Best: trial {best['name']}" in printed


@pytest.mark.slow
def test_the_command_that_a_search_ends_with_trains_the_best(arguments, tmp_path, capsys):
    folder, *options = arguments
    given = ["--trials", "2", "--seed", "3", "--out", str(tmp_path / "search")]
    assert run(["search", folder, *options, *given]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("  kertl train"))
    _, *words = shlex.split(line)
    filled = [{"DIR_OR_CSV": folder, "RUN": str(tmp_path / "run")}.get(word, word) for word in words]
    assert run([*filled, *options, "--seed", "3"]) == 0
    best = kertl.search.read(tmp_path / "search").best
    written = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert [stage["learning_rate"] for stage in written["stages"]] == [
        stage.learning_rate for stage in best.recipe.stages
    ]
    trained = keras.saving.load_model(tmp_path / "run" / "model.keras")
    hidden = [layer.units for layer in trained.layers if isinstance(layer, keras.layers.Dense)][:-1]
    assert hidden == list(best.head.hidden_units)


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (["report"], 2, ("folder of a search",)),
        (["report", "nowhere"], 1, ("nowhere", "hold a search")),
        (["nowhere"], 2, ("DIR_OR_CSV='nowhere'",)),
        (["nowhere", "else"], 2, ("DIR", "`report`")),
    ],
)
def test_wrong_usage_is_one_readable_block(arguments, status, named, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["search", *arguments]) == status
    assert_names(unwrapped(capsys.readouterr().err), *named)
