import csv
import importlib.util
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import _train, run
from kertl.cli._app import app
from kertl.cli._extras import EXTRAS
from kertl.run_files import RemoteCopy, local_run
from tests.families import small_classifier, tiny_backbone
from tests.messages import assert_names
from tests.runs import digest, unwrapped

SIDE = 32


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Red, green and blue pictures, a folder of each."""
    folder = tmp_path_factory.mktemp("squares")
    noise = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / name).mkdir()
        for number in range(16):
            pixels = noise.integers(0, 60, (SIDE, SIDE, 3), dtype="uint8")
            pixels[..., channel] += 180
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def trained_file(tmp_path_factory):
    """Somebody's own trained model, in a file."""
    path = tmp_path_factory.mktemp("model") / "theirs.keras"
    keras.utils.set_random_seed(0)
    small_classifier(SIDE, backbone=tiny_backbone).save(path)
    return path


@pytest.fixture(scope="module")
def arguments(squares, trained_file, tmp_path_factory):
    """A short training that learns to tell colours apart, all but the run directory."""
    stage = kertl.Stage("full", epochs=8, learning_rate=0.01, augment="none", label_smoothing=0.0)
    recipe = tmp_path_factory.mktemp("recipe") / "recipe.json"
    recipe.write_text(kertl.Recipe(stages=[stage]).to_json())
    return [*map(str, ["train", squares, "--backbone", trained_file, "--recipe", recipe, "--batch-size", 8])]


@pytest.fixture(scope="module")
def trained(arguments, tmp_path_factory):
    """The directory of that training."""
    out = tmp_path_factory.mktemp("runs") / "1"
    assert run([*arguments, "--out", str(out)]) == 0
    return out


def test_train_leaves_a_run_that_can_be_evaluated_and_asked(trained, squares, capsys):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"recipe.json", "data.csv", "environment.json", "history.csv", "metrics.json", "model.keras"}
    capsys.readouterr()
    assert run(["evaluate", str(trained), str(squares), "--json"]) == 0
    printed = capsys.readouterr()
    with (trained / "data.csv").open() as file:
        count = [row["split"] for row in csv.DictReader(file)].count("train")
    assert_names(unwrapped(printed.err), f"trained on {count} of these 48 images")
    metrics = json.loads(printed.out)
    assert metrics["images"] == 48
    assert metrics["accuracy"] > 0.9


@pytest.mark.promise
@pytest.mark.slow
def test_predict_prints_json_csv_and_a_table_that_agree(trained, squares, capsys):
    pictures = [str(squares / "red" / "0.png"), str(squares / "blue")]
    assert run(["predict", str(trained), *pictures, "--json", "--top", "2"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == 17
    assert [len(answer["classes"]) for answer in answers] == [2] * 17
    assert run(["predict", str(trained), *pictures, "--csv", "--top", "2"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["file"] for row in rows] == [answer["file"] for answer in answers]
    assert [row["class_1"] for row in rows] == [answer["classes"][0]["class"] for answer in answers]
    assert rows[0]["class_1"] == "red"
    assert run(["predict", str(trained), *pictures]) == 0
    assert "red" in capsys.readouterr().out


def test_predict_names_what_it_leaves_out(trained, squares, tmp_path, capsys):
    notes, gone = tmp_path / "notes.jpg", tmp_path / "gone.png"
    notes.write_text("not an image")
    asked = ["predict", str(trained), *map(str, (notes, squares / "red" / "0.png", gone))]
    assert run([*asked, "--json"]) == 0
    printed = capsys.readouterr()
    assert_names(unwrapped(printed.err), "not a JPEG")
    first, read, last = json.loads(printed.out)
    assert "not a JPEG" in first["error"]
    assert (first["file"], last["file"]) == (str(notes), str(gone))
    assert "error" not in read
    assert run([*asked, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert list(rows[0])[-1] == "error"
    assert [row["error"] for row in rows] == [first["error"], "", last["error"]]
    assert rows[0]["class_1"] == ""
    assert rows[1]["class_1"] == "red"
    assert run(asked) == 0
    assert "notes.jpg" not in capsys.readouterr().out


@pytest.fixture
def at_address(trained, bucket):
    """The run, finished at an address in memory."""
    copy = RemoteCopy("memory://bucket/run")
    shutil.copytree(trained, copy.local)
    copy.push(everything=True)
    return copy.address


def test_messages_about_a_run_at_an_address_name_the_address(at_address, arguments, squares, capsys):
    assert run([*arguments, "--out", at_address]) == 0
    said = "".join(capsys.readouterr())
    assert_names(unwrapped(said), f"{at_address} holds the finished run")
    assert_names(unwrapped(said), f"The model is {at_address}/model.keras; try `kertl predict {at_address} IMAGES...`.")
    assert run(["predict", at_address, str(squares / "red")]) == 0
    said = "".join(capsys.readouterr())
    assert_names(unwrapped(said), f"kertl export {at_address} --format openvino")
    assert str(local_run(at_address, "run")) not in said


def test_advice_is_promised_only_where_there_is_some():
    def of(*verdicts):
        return kertl.diagnosis.Diagnosis(tuple(kertl.diagnosis.Finding(one, "", {}, "") for one in verdicts), epochs=3)

    assert _train._what_next(of("good_fit"), "runs/1") == ""
    for verdicts in (("overfitting",), ("good_fit", "leak"), ("still_improving",)):
        assert_names(_train._what_next(of(*verdicts), "runs/1"), "`kertl diagnose runs/1` says what to try")


def test_the_same_train_command_again_trains_nothing(trained, arguments, capsys):
    before = (trained / "model.keras").read_bytes()
    assert run([*arguments, "--out", str(trained)]) == 0
    assert "nothing is trained" in unwrapped(capsys.readouterr().err)
    assert (trained / "model.keras").read_bytes() == before


def test_another_recipe_in_the_same_directory_is_one_block_of_error_and_no_traceback(
    trained, squares, trained_file, capsys
):
    assert run([*map(str, ["train", squares, "--out", trained, "--backbone", trained_file, "--recipe", "deep"])]) == 1
    error = capsys.readouterr().err
    assert "RunError" in error
    assert_names(unwrapped(error), "recipe.json")
    assert "Traceback" not in error


def test_debug_adds_the_traceback(squares, capsys):
    arguments = ["train", str(squares), "--out", "unused", "--backbone", "MobilNetV2", "--debug"]
    assert run(arguments) == 1
    error = capsys.readouterr().err
    assert "Traceback" in error
    assert "Did you mean" in error


def test_evaluate_counts_classes_by_name(trained, squares, tmp_path, capsys):
    (tmp_path / "some" / "red").mkdir(parents=True)
    for number in range(4):
        source = squares / "red" / f"{number}.png"
        (tmp_path / "some" / "red" / source.name).write_bytes(source.read_bytes())
    assert run(["evaluate", str(trained), str(tmp_path / "some"), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["classes"]["red"]["images"] == 4
    assert metrics["classes"]["green"]["images"] == 0
    (tmp_path / "some" / "red").rename(tmp_path / "some" / "purple")
    assert run(["evaluate", str(trained), str(tmp_path / "some")]) == 1
    assert "purple" in capsys.readouterr().err


def test_train_reads_a_csv_table_with_a_given_split(squares, trained_file, tmp_path):
    table = tmp_path / "labels.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "colour", "part"])
        for path in sorted(squares.rglob("*.png")):
            part = {0: "test", 1: "validation"}.get(int(path.stem) % 4, "train")
            writer.writerow([path.relative_to(squares), path.parent.name, part])
    options = ["--image-column", "picture", "--label-column", "colour", "--split-column", "part", "--root", squares]
    options += ["--backbone", trained_file, "--recipe", "deep", "--epochs", 1, "--out", tmp_path / "run"]
    assert run([*map(str, ["train", table, *options])]) == 0
    with (tmp_path / "run" / "data.csv").open() as file:
        parts = [row["split"] for row in csv.DictReader(file)]
    assert [parts.count(part) for part in ("train", "validation", "test")] == [24, 12, 12]


def test_a_recipe_can_come_from_a_file(squares, trained_file, tmp_path):
    recipe = kertl.Recipe(stages=[kertl.Stage("deep", epochs=1, augment="none")], seed=3)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    options = ["--backbone", trained_file, "--recipe", tmp_path / "recipe.json", "--out", tmp_path / "run"]
    assert run([*map(str, ["train", squares, *options])]) == 0
    assert kertl.Recipe.from_json((tmp_path / "run" / "recipe.json").read_text()) == recipe


def test_backbones_lists_all_applications(capsys):
    assert run(["backbones"]) == 0
    printed = capsys.readouterr().out
    for name in kertl.backbones.APPLICATIONS:
        assert name in printed


def test_backbones_lists_the_presets_of_a_package_that_hold_a_word(capsys):
    assert run(["backbones", "hub:resnet_vd_34"]) == 0
    assert capsys.readouterr().out.split() == ["hub:resnet_vd_34_imagenet"]
    assert run(["backbones", "cv:resnet50"]) == 0
    assert capsys.readouterr().out.split() == [
        "cv:resnet50",
        "cv:resnet50_imagenet",
        "cv:resnet50_v2",
        "cv:resnet50_v2_imagenet",
    ]


@pytest.mark.promise
@pytest.mark.slow
def test_the_list_of_applications_names_the_packages_without_importing_them():
    script = (
        "import sys; from kertl.cli import run; run(['backbones', 'mobile']); "
        "sys.exit(len({'keras_hub', 'keras_cv'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "MobileNetV2" in done.stdout
    assert "ResNet50" not in done.stdout
    assert "hub:" in done.stdout
    assert "cv:" in done.stdout


def test_doctor_names_backend_and_packages(capsys):
    assert run(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert keras.backend.backend() in printed
    assert keras.__version__ in printed


def test_doctor_says_what_is_missing_and_what_it_is_for(capsys, monkeypatch):
    here = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ray" else here(name, *a))
    assert run(["doctor"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "ray" in line and "kertl[" in line]
    assert re.split(r" {2,}", line.strip()) == ["pip install 'kertl[ray]'", "`kertl predict --ray`, on a cluster"]


def test_doctor_knows_the_extras_of_the_package():
    declared = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert EXTRAS.keys() == declared["optional-dependencies"].keys() - {"dev", "docs", "release"}
    page = (Path(__file__).parents[2] / "docs" / "index.md").read_text()
    assert set(re.findall(r"`kertl\[([\w-]+)\]`", page)) == EXTRAS.keys()


def test_doctor_names_commands_and_functions_that_exist():
    commands = {one.name for one in app.registered_commands}
    for _, purpose in EXTRAS.values():
        assert set(re.findall(r"`kertl ([\w-]+)", purpose)) <= commands
        assert all(hasattr(kertl, name) for name in re.findall(r"`kertl\.(\w+)`", purpose))


def test_wrong_usage_is_answered_with_status_2(capsys):
    assert run(["train"]) == 2
    assert "Missing" in capsys.readouterr().err
    assert run(["trian"]) == 2
    assert run(["train", "nowhere", "--out", "unused"]) == 2
    assert "DIR_OR_CSV='nowhere'" in unwrapped(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("predict", "FOLDER", "FOLDER", "--out", "a.csv", "--shard", "4/3"),
            ("`--shard`", "4/3", "kertl predict --help"),
        ),
        (("predict", "FOLDER", "FOLDER", "--shard", "1/3"), ("`--shard` needs `--out`",)),
        (("export", "FOLDER", "--format", "tflite"), ("`--format`", "'litert'")),
        (("export", "FOLDER", "--quantize", "int4"), ("`--quantize`", "'int8'")),
        (("benchmark", "FOLDER", "--format", "litert:int4"), ("`--format`", "'litert:int8'")),
        (("train", "FOLDER", "--out", "run", "--stage", "epochs=0"), ("`--stage epochs`", "--stage epochs=0")),
        (("train", "FOLDER", "--out", "run", "--quiet", "--verbose"), ("`--quiet`", "--verbose")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_what_is_wrong_with_an_option_is_told_as_usage(arguments, said, tmp_path, capsys):
    (tmp_path / "model.keras").touch()
    assert run([one.replace("FOLDER", str(tmp_path)) for one in arguments]) == 2
    error = unwrapped(capsys.readouterr().err)
    assert_names(error, "usage", *said)
    assert "ValueError" not in error


def test_help_imports_neither_keras_nor_tensorflow():
    script = (
        "import sys; from kertl.cli import run; status = run(['--help']); "
        "heavy = {'keras', 'tensorflow', 'numpy', 'jax', 'sklearn'} & set(sys.modules); "
        "sys.exit(repr(heavy) if heavy else status)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_import_kertl_imports_neither_keras_nor_tensorflow():
    script = "import sys, kertl; sys.exit(len({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.promise
@pytest.mark.slow
def test_train_chooses_the_recipe_and_says_why(arguments, tmp_path, capsys):
    chosen = ["auto" if "recipe.json" in one else one for one in arguments]
    assert run([*chosen, "--epochs", "3", "--out", str(tmp_path / "no")]) == 2
    assert_names(unwrapped(capsys.readouterr().err), "`--recipe auto`", "--epochs 3")
    assert run([*chosen, "--validation", "0.3", "--test", "0", "--out", str(tmp_path / "out")]) == 0
    said = unwrapped(capsys.readouterr().err)
    (stage,) = kertl.Recipe.from_json((tmp_path / "out" / "recipe.json").read_text()).stages
    assert stage.at == "deep"
    reasons = json.loads((tmp_path / "out" / "choices.json").read_text())["recipe"]["reasons"]
    assert reasons
    assert all(" ".join(reason.split()) in said for reason in reasons)


@pytest.mark.promise
@pytest.mark.slow
def test_train_stopped_by_a_signal_says_what_to_do_and_the_same_command_goes_on(arguments, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text(kertl.Recipe(stages=[kertl.Stage("full", epochs=40, augment="none")]).to_json())
    arguments = [*arguments[:5], str(recipe), *arguments[6:]]
    out = tmp_path / "out"
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # in the background, too
    code = f"{listening}; from kertl.__main__ import main; main()"
    command = [sys.executable, "-c", code, *arguments, "--out", str(out)]
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            epochs = (line for line in process.stderr if ", epoch " in line)
            next(epochs), next(epochs)
            process.send_signal(number)
            said = unwrapped(process.communicate()[1])
        assert process.returncode == status, said
        assert "'checkpoint-0000" in said
        assert "Traceback" not in said
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_names(" ".join(done.stderr.split()), out, "resumes", "stage 1")
    assert run([*arguments, "--out", str(tmp_path / "undisturbed")]) == 0
    ends = [digest(kertl.load(folder / "model.keras")) for folder in (out, tmp_path / "undisturbed")]
    assert ends[0] == ends[1]


def test_any_field_of_stage_and_head_is_an_option(squares, trained_file, tmp_path):
    options = ["--backbone", trained_file, "--recipe", "deep", "--epochs", 1, "--out", tmp_path]
    options += ["--stage", "loss=focal", "--stage", "augment=none", "--stage", "batch_size=5"]
    options += ["--head", "hidden_units=[7]", "--head", "batch_norm=false"]
    assert run([*map(str, ["train", squares, *options])]) == 0
    (stage,) = kertl.Recipe.from_json((tmp_path / "recipe.json").read_text()).stages
    assert (stage.epochs, stage.loss, stage.augment, stage.batch_size) == (1, "focal", "none", 5)
    model = kertl.load(tmp_path / "model.keras")
    assert model.get_layer("head_dense_1").units == 7
    assert not any(layer.name.startswith("head_batch_norm") for layer in model.layers)


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("loss", ("`--stage`", "FIELD=VALUE", "kertl.Stage", "--stage='loss'")),
        ("losss=focal", ("`--stage`", "--stage='losss=focal'", "Did you mean 'loss'")),
        ("epochs=0", ("`--stage epochs`", ">= 1", "epochs=0")),
    ],
)
def test_a_field_that_is_none_or_out_of_range_is_refused(option, named, squares, trained_file, tmp_path, capsys):
    options = ["--backbone", trained_file, "--recipe", "deep", "--out", tmp_path / "out", "--stage", option]
    assert run([*map(str, ["train", squares, *options])]) == 2
    assert_names(unwrapped(capsys.readouterr().err), *named)
    assert not (tmp_path / "out").exists()


@pytest.mark.promise
@pytest.mark.slow
def test_train_unfreezes_gradually(squares, trained_file, tmp_path):
    options = ["--backbone", trained_file, "--recipe", "unfreezing", "--epochs", 1, "--augment", "none"]
    assert run([*map(str, ["train", squares, *options, "--out", tmp_path, "--seed", 4])]) == 0
    recipe = kertl.Recipe.from_json((tmp_path / "recipe.json").read_text())
    assert (recipe.stages[0].at, recipe.stages[-1].at, recipe.seed) == ("deep", "full", 4)
    assert {stage.epochs for stage in recipe.stages[1:]} == {1}


@pytest.mark.promise
@pytest.mark.slow
def test_evaluate_and_predict_average_over_versions(trained, squares, capsys):
    found = []
    for views in (0, 2):
        options = ["--json", "--views", str(views), "--augment", "strong"]
        assert run(["predict", str(trained), str(squares / "red"), *options]) == 0
        found.append([answer["classes"] for answer in json.loads(capsys.readouterr().out)])
    assert found[0] != found[1]
    assert run(["evaluate", str(trained), str(squares), "--json", "--views", "2", "--augment", "strong"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 48


def test_augment_preview_draws_what_the_same_words_train_with(squares, trained_file, tmp_path, capsys):
    chosen = ["--augment", "flip", "--augment", "rotation=0.1"]
    picture = tmp_path / "preview.png"
    assert run(["augment-preview", str(squares), *chosen, "--out", str(picture), "--image-size", "32"]) == 0
    assert "preview.png" in unwrapped(capsys.readouterr().out)
    with Image.open(picture) as drawn:
        assert drawn.width > 500
    out = tmp_path / "run"
    train = ["train", squares, "--backbone", trained_file, "--recipe", "deep", "--epochs", 1, "--out", out, *chosen]
    assert run([*map(str, train)]) == 0
    stages = json.loads((out / "recipe.json").read_text())["stages"]
    assert [stage["augment"] for stage in stages] == [[["flip", "horizontal"], ["rotation", 0.1]]]
    assert run(["augment-preview", str(squares), "--augment", "flip=up", "--out", str(picture)]) == 1
    assert "`flip` must be 'horizontal' or 'vertical'" in unwrapped(capsys.readouterr().err)


def test_check_augmentation_asks_the_validation_part_of_a_run(trained, squares, tmp_path, capsys):
    arguments = ["check-augmentation", trained, trained / "data.csv", "--root", squares, "--split-column", "split"]
    arguments += ["--augment", "flip", "--augment", "hue=1", "--out", tmp_path / "check.png"]
    assert run([*map(str, arguments)]) == 0
    printed = capsys.readouterr().out
    assert "flip" in printed
    assert "images as they are" in printed
    assert (tmp_path / "check.png").exists()
