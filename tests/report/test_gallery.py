import csv

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli._serve import _gallery
from kertl.report._server import application
from tests.families import tiny_backbone
from tests.report.test_report import photos
from tests.report.test_server import post, running
from tests.runs import quick, recipe

NAMES = ["bird", "cat", "dog"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A run's model, its directory, the folder of its photos, and the address where it is served."""
    folder = tmp_path_factory.mktemp("photos")
    data = kertl.data.from_csv(photos(folder, NAMES), image_size=(32, 32), validation=0.25, test=0.25, batch_size=8)
    model = kertl.build(tiny_backbone(), class_names=data.class_names)
    run = kertl.fine_tune(model, data, recipe=recipe(quick("deep")), run_dir=folder / "run", verbose=0)
    gallery = _gallery(kertl.load(run.run_dir), run.run_dir, None)
    with running(application(run.model, whole=lambda: (run.model, gallery))) as address:
        yield run, folder, address


def trained_on(run):
    with (run.run_dir / "data.csv").open(newline="") as file:
        return [(row["file"], row["label"]) for row in csv.DictReader(file) if row["split"] == "train"]


def nearest(address, content):
    status, told = post(f"{address}/explain", content, "image/png")
    assert status == 200
    return told["answers"][0]["nearest"]


def test_a_training_image_is_nearest_to_itself(shown):
    run, folder, address = shown
    for file, label in trained_on(run)[::6]:
        found = nearest(address, (folder / file).read_bytes())
        assert len(found) == 3
        assert found[0]["file"] == file
        assert found[0]["label"] == label
        assert found[0]["similarity"] > 0.999
        assert found[0]["picture"].startswith("data:image/webp;base64,")
        assert [one["similarity"] for one in found] == sorted((one["similarity"] for one in found), reverse=True)


def test_only_training_images_are_shown_and_no_folder_is_named(shown):
    run, folder, address = shown
    files = dict(trained_on(run))
    for seed in range(6):
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype="uint8")).save(folder / "x.png")
        for one in nearest(address, (folder / "x.png").read_bytes()):
            assert files[one["file"]] == one["label"]
            assert "/" not in one["file"]


def test_an_image_that_is_gone_or_changed_is_named_without_a_picture(shown):
    run, folder, address = shown
    (file, label), (other, _) = trained_on(run)[:2]
    content, kept = (folder / file).read_bytes(), (folder / other).read_bytes()
    try:
        (folder / file).unlink()
        found = nearest(address, content)[0]
        assert (found["file"], found["label"], found["picture"]) == (file, label, None)
        Image.fromarray(np.zeros((32, 32, 3), "uint8")).save(folder / other)
        assert nearest(address, kept)[0]["picture"] is None
    finally:
        (folder / file).write_bytes(content)
        (folder / other).write_bytes(kept)


def test_features_that_the_run_has_kept_are_not_computed_again(shown):
    run, _, _ = shown

    def files():
        return {path: path.stat().st_mtime_ns for path in (run.run_dir / "features").rglob("*.npy")}

    before = files()
    assert _gallery(kertl.load(run.run_dir), run.run_dir, None) is not None
    assert files() == before != {}


def test_it_is_said_why_there_are_none(shown, tmp_path, capsys):
    run = shown[0]
    assert _gallery(run.model, run.run_dir / "model.keras", None) is None
    assert _gallery(run.model, run.run_dir, tmp_path) is None
    told = " ".join(capsys.readouterr().err.split())
    assert "a model alone has none" in told
    assert "images are not there" in told
