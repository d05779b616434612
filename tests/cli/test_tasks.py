import csv
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import run
from kertl.model import model_info
from tests.marks import some_of
from tests.messages import assert_names
from tests.runs import unwrapped

SIDE = 16
TASKS = {
    "binary": ["--label-column", "red", "--class-name", "light", "--class-name", "dark"],
    "multi_label": ["--label-column", "tags", "--separator", "|"],
    "regression": ["--label-column", "level", "--label-column", "share"],
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Pictures whose channels are bright or dark, and labels.csv, which says which and how bright."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "tags", "red", "level", "share", "r", "g", "b"])
        for number in range(48):
            bright = random.random(3) < 0.5
            pixels = random.integers(0, 60, (SIDE, SIDE, 3)) + 180 * bright
            Image.fromarray(pixels.astype("uint8")).save(folder / f"{number}.png")
            tags = "|".join(name for name, flag in zip("rgb", bright, strict=True) if flag)
            figures = [f"{pixels.mean() * 10:.3f}", f"{pixels[..., 0].mean() / 255:.5f}"]
            table.writerow([f"{number}.png", tags, ["dark", "light"][int(bright[0])], *figures, *bright.astype(int)])
    return folder


@pytest.fixture(scope="module", params=some_of(TASKS, "multi_label"))
def trained(request, pictures, tmp_path_factory):
    """A run of each task from the command line: (task, directory)."""
    folder = tmp_path_factory.mktemp(request.param)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(8, 4, strides=4)(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(pooled)).save(folder / "theirs.keras")
    stage = kertl.Stage("full", epochs=6, learning_rate=0.02, augment="none", label_smoothing=0.0)
    (folder / "recipe.json").write_text(kertl.Recipe(stages=[stage]).to_json())
    arguments = [pictures / "labels.csv", "--backbone", folder / "theirs.keras", "--recipe", folder / "recipe.json"]
    options = ["--batch-size", "8", "--dropout", "0", "--task", request.param, "--out", folder / "run"]
    assert run([*map(str, ["train", *arguments, *options, *TASKS[request.param]])]) == 0
    return request.param, folder / "run"


def printed(arguments, capsys):
    capsys.readouterr()
    assert run([*map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.mark.promise
@pytest.mark.slow
def test_evaluate_takes_the_task_from_the_model(trained, pictures, capsys):
    task, directory = trained
    options = [option for option in TASKS[task] if option not in ("--class-name", "light", "dark")]
    found = json.loads(printed(["evaluate", directory, pictures / "labels.csv", "--json", *options], capsys))
    model = kertl.load(directory / "model.keras")
    assert model_info(model).task == task
    assert found["images"] == 48
    if task == "regression":
        assert list(found["targets"]) == ["level", "share"]
        assert found["r2"] > 0.3
        assert "R²" in printed(["evaluate", directory, pictures / "labels.csv", *options], capsys)
    else:
        assert found["accuracy"] > 0.7
        assert list(found["thresholds"].values()) == list(model_info(model).thresholds)
        assert "threshold" in printed(["evaluate", directory, pictures / "labels.csv", *options], capsys)


def test_evaluate_reads_labels_written_in_another_way(trained, pictures, tmp_path, capsys):
    task, directory = trained
    table = ["evaluate", directory, pictures / "labels.csv", "--json"]
    if task == "binary":
        for name in ("dark", "light"):
            (tmp_path / name).mkdir()
        with (pictures / "labels.csv").open() as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            (tmp_path / row["red"] / row["file"]).write_bytes((pictures / row["file"]).read_bytes())
        other, same = ["evaluate", directory, tmp_path, "--json"], [*table, "--label-column", "red"]
    elif task == "multi_label":
        other = [*table, "--label-column", "g", "--label-column", "r", "--label-column", "b"]
        same = [*table, "--label-column", "tags", "--separator", "|"]
    else:
        other = [*table, "--label-column", "share", "--label-column", "level"]
        same = [*table, "--label-column", "level", "--label-column", "share"]
    one, two = (json.loads(printed(arguments, capsys)) for arguments in (other, same))
    assert one.keys() == two.keys()
    for figure in ("accuracy", "macro_f1", "mae", "r2"):
        assert one.get(figure) == pytest.approx(two.get(figure))


def test_the_data_of_the_run_are_read_again_from_its_directory(trained, pictures, capsys):
    task, directory = trained
    separator = {"binary": [], "multi_label": ["--separator", "|"], "regression": ["--separator", ";"]}[task]
    arguments = ["evaluate", directory, directory / "data.csv", "--root", pictures, "--json", *separator]
    assert json.loads(printed(arguments, capsys))["images"] == 48


def test_predict_prints_json_csv_and_a_table_that_agree(trained, pictures, capsys):
    task, directory = trained
    files = [pictures / f"{number}.png" for number in range(6)]
    answers = json.loads(printed(["predict", directory, *files, "--json"], capsys))
    rows = list(csv.DictReader(io.StringIO(printed(["predict", directory, *files, "--csv"], capsys))))
    table = printed(["predict", directory, *files], capsys)
    assert [row["file"] for row in rows] == [answer["file"] for answer in answers] == [str(file) for file in files]
    model = kertl.load(directory / "model.keras")
    said = kertl.predict(model, kertl.data.images(files, image_size=(SIDE, SIDE)))
    for answer, row, values in zip(answers, rows, said, strict=True):
        if task == "binary":
            assert answer["positive"] == row["positive"] == "dark"
            assert (
                answer["label"] == row["label"] == ["light", "dark"][int(values[0] >= model_info(model).thresholds[0])]
            )
            assert float(row["probability"]) == pytest.approx(answer["probability"], abs=1e-6)
            assert answer["probability"] == pytest.approx(float(values[0]), rel=1e-5)
            assert "dark" in table
        elif task == "multi_label":
            expected = {
                name
                for name, value, level in zip("bgr", values, model_info(model).thresholds, strict=True)
                if value >= level
            }
            assert {label["class"] for label in answer["labels"]} == expected
            assert row["labels"] == ";".join(label["class"] for label in answer["labels"])
            assert row["labels"].count(";") == row["probabilities"].count(";")
        else:
            assert list(answer["targets"].values()) == pytest.approx(values.tolist(), rel=1e-5)
            assert [float(row[name]) for name in ("level", "share")] == pytest.approx(values.tolist(), rel=1e-5)
            assert "level" in table


def test_a_model_whose_task_cannot_be_told_is_an_error(pictures, tmp_path, capsys):
    inputs = keras.Input((SIDE, SIDE, 3))
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)), name="logits").save(tmp_path / "m.keras")
    assert run(["predict", str(tmp_path / "m.keras"), str(pictures / "0.png")]) == 1
    assert "cannot be told" in unwrapped(capsys.readouterr().err)


def test_several_labels_do_not_come_as_a_folder_per_class(pictures, tmp_path, capsys):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes((pictures / "0.png").read_bytes())
    arguments = ["train", tmp_path, "--task", "multi_label", "--backbone", "MobileNetV3Small", "--weights", "none"]
    assert run([*map(str, [*arguments, "--image-size", 32, "--out", tmp_path / "run"])]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "'single_label'", "'binary'")
