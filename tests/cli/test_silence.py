"""Wherever nothing would be written for a second, something is shown to be going on, on a real terminal."""

import resource
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.cli.watched import watch
from tests.families import small_backbone

pytestmark = pytest.mark.slow
USUAL_BARE_START = 0.1


def bare_start():
    """Seconds of the processor that Python and what draws the first sign take at this moment, without kertl."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import rich.progress, typer"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("silence")
    for number, name in enumerate(("a class whose name is far too long for a narrow table of metrics", "bird", "cat")):
        (folder / "photos" / name).mkdir(parents=True)
        for each in range(20):
            pixels = np.random.default_rng(100 * number + each).integers(60 * number, 200, (32, 32, 3), dtype="uint8")
            Image.fromarray(pixels).save(folder / "photos" / name / f"{each}.png")
    small_backbone().save(folder / "small.keras")
    return folder


def test_commands_show_within_a_second_that_something_goes_on(folder):
    run, photos = folder / "run", folder / "photos"
    backbone = ("--backbone", folder / "small.keras")
    for arguments in (
        ("train", photos, *backbone, "--recipe", "deep", "--epochs", "1", "--out", run),
        ("evaluate", run, photos),
        ("predict", run, photos / "bird" / "0.png"),
        ("check-augmentation", run, photos),
        ("augment-preview", photos, "--out", folder / "augmented.png"),
        ("report", run),
        ("export", run, "--format", "openvino"),
        ("predict", run, photos / "bird" / "0.png"),  # which the export answers, without Keras
        ("lr-find", photos, *backbone, "--out", folder / "rates.png"),
        ("baselines", photos, *backbone),
        ("cross-validate", photos, *backbone, "--folds", "2"),
    ):
        slower = max(1.0, bare_start() / USUAL_BARE_START)
        found = watch(*arguments)
        assert found.status == 0, found.text[-2000:]
        (first, _), *silences = found.silences
        assert first < 0.5 * slower, f"kertl {arguments[0]} showed nothing for {first} s"
        longest, before = max(silences)
        assert longest < slower, f"kertl {arguments[0]} showed nothing for {longest} s after {before!r}"
        tables = [line for line in found.lines if line.strip().startswith(("┃", "│", "┏", "└", "─"))]
        if arguments[0] != "predict":  # in whose table the names of files stay whole
            assert all(len(line) <= 80 for line in tables), max(tables, key=len)
