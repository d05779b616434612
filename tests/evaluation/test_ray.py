"""Shares as tasks of a Ray cluster, one of whose processes dies."""

import csv
import functools
import os
import signal

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import run
from kertl.errors import DataError, MissingPackageError, RunError
from kertl.evaluation import _plan, predict_on_ray, predict_to_file
from tests.messages import assert_names

COUNT = 600


class Brightness:
    """What `predict_to_file` asks of a model: how bright a picture is; kills its process once, in mid-share."""

    name, digest, input_shape, output_shape = "brightness", "1", (None, 8, 8, 3), (None, 2)
    _kertl_info = kertl.model.ModelInfo("single_label", ("dark", "bright"), "", "1", resize="stretch")

    def __init__(self, marker=None):
        self.marker, self.asked = marker, 0

    def predict_on_batch(self, images):
        self.asked += 1
        if self.marker is not None and self.asked > 8 and not self.marker.exists():  # after a part of 256
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        bright = np.asarray(images, "float32").mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - bright, bright], axis=1)


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "images"
    place.mkdir()
    for number in range(COUNT):
        Image.new("RGB", (8, 8), (number % 256,) * 3).save(place / f"{number:03}.png")
    (place / "007.png").write_bytes(b"")
    return place


def rows(path):
    with path.open(newline="") as file:
        return sorted((row["file"], row["class_1"], row["error"]) for row in csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_share_whose_process_is_killed_goes_on_and_no_row_is_lost_or_doubled(folder, tmp_path):
    pytest.importorskip("ray")
    marker, out = tmp_path / "died", tmp_path / "p.csv"
    assert predict_on_ray(functools.partial(Brightness, marker), [folder], out, address="local", shares=2) == COUNT
    assert marker.exists()
    predict_to_file(Brightness(), [folder], tmp_path / "alone.csv")
    assert rows(out) == rows(tmp_path / "alone.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["died", "images", *(f"{name}.csv{end}" for name in ("alone", "p") for end in ("", ".made.json"))]
    )


def test_shares_of_another_job_and_what_cannot_be_done_are_refused_before_a_cluster_is_asked(
    folder, tmp_path, monkeypatch
):
    pytest.importorskip("ray")
    out = tmp_path / "p.csv"
    _plan.check_plan(tmp_path / "p.csv.shares", {"model": "another"})
    with pytest.raises(RunError, match="differ in description, files, model, options, shares"):
        predict_on_ray(Brightness, [folder], out, address="local")
    with pytest.raises(DataError, match="There must be a file"):
        predict_on_ray(Brightness, [], out, address="local")
    with pytest.raises(ValueError, match="`shares` must be"):
        predict_on_ray(Brightness, [folder], out, address="local", shares=0)
    with pytest.raises(RunError, match="must be that of a Ray cluster that runs"):
        predict_on_ray(Brightness, [folder], out, address="127.0.0.1:1")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'kertl\[ray\]'"):
        predict_on_ray(Brightness, [folder], out, address="local")


def test_the_option_goes_with_out_alone(folder, tmp_path, capsys):
    (tmp_path / "m.keras").touch()
    assert run(["predict", str(tmp_path / "m.keras"), str(folder), "--ray", "local"]) == 2
    assert_names(capsys.readouterr().err, "`--ray` needs `--out`", "--shard")
