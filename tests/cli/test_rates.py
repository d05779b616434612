import keras
import numpy as np
import pytest
from PIL import Image

from kertl.cli import run
from tests.families import lively, small_classifier, tiny_backbone
from tests.marks import some_of


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Red and green pictures, a folder of each, and somebody's model."""
    folder = tmp_path_factory.mktemp("squares")
    noise = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green")):
        (folder / name).mkdir()
        for number in range(32):
            pixels = noise.integers(0, 60, (32, 32, 3), dtype="uint8")
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    path = tmp_path_factory.mktemp("model") / "theirs.keras"
    keras.utils.set_random_seed(0)
    lively(small_classifier(backbone=tiny_backbone), noise.integers(0, 255, (16, 32, 32, 3)).astype("float32")).save(
        path
    )
    return ["lr-find", str(folder), "--backbone", str(path), "--dropout", "0"]


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("at", some_of(["deep", "full"], "deep"))
def test_lr_find_prints_suggestions_and_writes_the_picture(arguments, at, tmp_path, capsys):
    assert run([*arguments, "--at", at, "--repeats", "2", "--out", str(tmp_path / "lr.png")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for rule in ("valley", "steep", "minimum", "slide"):
        assert f" {rule} " in printed
    assert "Suggested: " in printed
    assert "in 2 runs" in printed
    with Image.open(tmp_path / "lr.png") as picture:
        assert picture.format == "PNG"


def test_where_nothing_is_learnt_no_rate_is_suggested(arguments, tmp_path, capsys):
    low = ["--start", "1e-12", "--end", "1e-10", "--steps", "20", "--repeats", "1", "--out", str(tmp_path / "lr.png")]
    assert run([*arguments, *low]) == 0
    assert "so none is suggested" in capsys.readouterr().out


def test_a_wrong_range_is_one_readable_block(arguments, capsys):
    assert run([*arguments, "--start", "0"]) == 2
    assert "`--start` must be a number > 0" in capsys.readouterr().err
