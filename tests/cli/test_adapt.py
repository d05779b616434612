import json
import shutil

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.adaptation import METHODS
from kertl.cli import _adapt, run
from tests.adaptation.domains import pictures, source
from tests.messages import assert_names
from tests.runs import NAMES, classifier, unwrapped


def written(folder, data, change=lambda x: x, labelled=True):
    """The images as PNG files, in one folder per class or all in one."""
    for number, (picture, label) in enumerate(zip(pictures(data.train), data.train.labels, strict=True)):
        path = folder / (NAMES[int(label)] if labelled else "") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(change(picture.astype(int)).astype("uint8")).save(path)
    return folder


def dim(picture):
    return picture // 3 + 150


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A run, and folders of its own domain and of another."""
    root = tmp_path_factory.mktemp("domains")
    own = written(root / "own", source(seed=1))
    data = kertl.data.from_directory(own, image_size=(32, 32), validation=0.25, test=0.25)
    stage = kertl.Stage("deep", solver="exact", augment="none")
    kertl.fine_tune(classifier(dropout=0.0), data, recipe=stage, run_dir=root / "run")
    written(root / "other", source(seed=2), dim)
    written(root / "plain", source(seed=2), dim, labelled=False)
    written(root / "same", source(seed=3), labelled=False)
    return root


def test_shift_prints_the_depths_and_writes_json_and_picture(places, tmp_path, capsys):
    domains = [str(places / "own"), str(places / "other")]
    assert run(["shift", *domains, "--model", str(places / "run"), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    values = json.loads((tmp_path / "shift.json").read_text())
    assert values["begins"] in printed
    assert values["labels"]["from_labels"] == [True, True]
    assert (tmp_path / "shift.png").exists()


def test_adapt_takes_the_run_itself_for_the_source_and_writes_a_model(places, tmp_path, capsys):
    assert run(["adapt", str(places / "run"), str(places / "plain"), "--out", str(tmp_path / "new")]) == 0
    printed = unwrapped(capsys.readouterr().out)
    values = json.loads((tmp_path / "new" / "adaptation.json").read_text())
    assert f"Method: {values['method']}." in printed
    assert values["images"] == [120, 60]
    adapted = kertl.load(tmp_path / "new" / "model.keras")
    assert (
        kertl.evaluate(adapted, places / "other")["accuracy"]
        > kertl.evaluate(kertl.load(places / "run"), places / "other")["accuracy"]
    )


def test_adapt_with_labels_shows_both_accuracies(places, capsys):
    assert run(["adapt", str(places / "run"), str(places / "other"), "--labels"]) == 0
    printed, told = capsys.readouterr()
    assert "accuracy on target" in printed
    assert "accuracy on source" in printed
    assert "Nothing was written: --out DIR" in told


def test_predict_says_where_images_differ_from_the_reference(places, capsys):
    run_dir = str(places / "run")
    assert run(["predict", run_dir, str(places / "plain"), "--csv", "--reference", run_dir]) == 0
    differs = capsys.readouterr()
    assert "Shift: these images differ" in unwrapped(differs.err)
    assert differs.out.splitlines()[0].startswith("file,")
    assert run(["predict", run_dir, str(places / "same"), "--csv", "--reference", run_dir]) == 0
    assert "No shift is seen" in unwrapped(capsys.readouterr().err)


def test_the_verdict_on_images_is_in_the_json(places, capsys):
    run_dir = str(places / "run")
    assert run(["predict", run_dir, str(places / "plain"), "--json", "--reference", run_dir]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"]["raised"] is True
    assert found["reference"]["farthest"][0]["file"] in {one["file"] for one in found["images"]}
    few = [str(path) for path in sorted((places / "plain").iterdir())[:2]]
    assert run(["predict", run_dir, *few, "--json", "--reference", run_dir]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["reference"]["raised"] is None
    assert "at least 10" in found["reference"]["error"]
    assert len(found["images"]) == 2


def test_wrong_options_are_refused_with_what_is_accepted(places, tmp_path, capsys):
    assert run(["adapt", str(places / "run"), str(places / "plain"), "--method", "corall"]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "--method", "'coral'")
    assert run(["adapt", str(places / "run"), str(places / "plain"), "--method", "labels"]) == 2
    assert "without --labels" in unwrapped(capsys.readouterr().err)
    assert run(["adapt", str(places / "run"), str(places / "plain"), "--share", "half"]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "--share", "CLASS=SHARE", "half")
    assert run(["adapt", str(places / "run"), str(places / "plain"), "--share", "nothing=1"]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "`--share`", "nothing")
    (tmp_path / "few").mkdir()
    for path in sorted((places / "plain").iterdir())[:3]:
        shutil.copy(path, tmp_path / "few")
    assert run(["adapt", str(places / "run"), str(tmp_path / "few")]) == 1
    assert_names(unwrapped(capsys.readouterr().err), "TARGET", "at least 10 images", "Received: 3")


def test_a_reference_without_images_is_refused(places, tmp_path, capsys):
    shutil.copytree(places / "run", tmp_path / "run")
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    (tmp_path / "run" / "environment.json").write_text(json.dumps({**environment, "images": str(tmp_path / "gone")}))
    arguments = ["predict", str(places / "run"), str(places / "plain"), "--reference", str(tmp_path / "run")]
    assert run(arguments) == 2
    assert_names(unwrapped(capsys.readouterr().err), "--reference", "are not there")


def test_the_methods_of_the_command_are_those_of_the_library():
    assert set(_adapt.METHODS) == set(METHODS)
    assert np.unique(_adapt.METHODS).size == len(METHODS)
