"""Wherever nothing would be written for a second, something is shown to be going on, on a real terminal."""

import time

import numpy as np
import pytest
from PIL import Image

from tests.cli.watched import watch
from tests.families import small_backbone

pytestmark = pytest.mark.slow


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
    train = ("train", photos, "--backbone", folder / "small.keras", "--recipe", "deep", "--epochs", "1", "--out", run)
    for arguments in (
        train,
        ("evaluate", run, photos),
        ("check-augmentation", run, photos),
        ("report", run),
        ("export", run, "--format", "keras"),
    ):
        begun = time.monotonic()
        watch("--version")  # Python itself, on a machine that may be busy
        start = time.monotonic() - begun
        patience = max(1.0, 2 * start)
        found = watch(*arguments)
        assert found.status == 0, found.text[-2000:]
        (first, _), *silences, _ = found.silences  # the first one is Python's start, the last one its end
        assert first < 1 + 3 * start
        longest, before = max(silences)
        assert longest < patience, f"kertl {arguments[0]} showed nothing for {longest} s after {before!r}"
        tables = [line for line in found.lines if line.strip().startswith(("┃", "│", "┏", "└", "─"))]
        assert all(len(line) <= 80 for line in tables), max(tables, key=len)
