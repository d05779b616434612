import logging
import re

import pytest
from PIL import Image

import kertl
from kertl._terminal import CONSOLE
from kertl.backbones import KINDS
from kertl.cli import _ask, _augment, _compile, _export, _look, _options, _rates, _search, _studies, _train, run
from kertl.cli._app import _in_options, app
from kertl.cli._images import TableOptions
from kertl.cli._local import LocalPaths
from kertl.data import RESIZE
from kertl.exporting._formats import FORMATS
from kertl.hardware._choice import ACCELERATORS
from kertl.search._oracles import STRATEGIES
from tests.messages import assert_names
from tests.runs import unwrapped

TRAIN = ("train", "FOLDER", "--out", "unused")
PREDICT = ("predict", "FOLDER/broken.json", "FOLDER")
EXPORT = ("export", "FOLDER/broken.json", "--format")


def test_the_words_that_options_take_are_those_of_the_library():
    assert tuple(kertl.tasks.TASKS) == _options.TASKS
    assert tuple(RESIZE) == _options.RESIZE
    assert set(KINDS) == set(_options.PREPROCESSING)
    assert set(ACCELERATORS) == set(_options.ACCELERATORS)
    assert set(STRATEGIES) == set(_search.STRATEGIES)
    assert tuple(FORMATS) == _export.FORMATS
    assert {name: one.quantizations for name, one in FORMATS.items() if one.quantizations} == _export.QUANTIZED


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((*TRAIN, "--recipe", "depe"), ("`--recipe`", "'auto'", "'deep'", "--recipe='depe'")),
        ((*TRAIN, "--recipe", "no.json"), ("--recipe='no.json'", "No such file")),
        ((*TRAIN, "--recipe", "FOLDER/folder.json"), ("`--recipe`", "directory")),
        ((*TRAIN, "--recipe", "FOLDER/broken.json"), ("`--recipe`", "not JSON")),
        ((*TRAIN, "--stage", "epochs=0"), ("`--stage epochs`", "epochs=0")),
        ((*TRAIN, "--head", "dropuot=0.1"), ("`--head`", "'dropout'")),
        ((*TRAIN, "--head", "dropout=1"), ("`--head dropout`", "dropout=1")),
        ((*TRAIN, "--epochs", "0"), ("`--epochs`", "--epochs=0")),
        ((*TRAIN, "--augment", "rotatoin"), ("`--augment`", "'rotation'")),
        ((*TRAIN, "--minutes", "2", "--recipe", "deep"), ("`--minutes`", "auto")),
        ((*TRAIN, "--profile", "20:10"), ("`--profile`", "10:20", "'20:10'")),
        ((*TRAIN, "--precision", "float17"), ("`--precision`", "'float32'")),
        ((*TRAIN, "--task", "binry"), ("`--task`", "'binary'")),
        ((*TRAIN, "--backbone", "mine.keras"), ("`--backbone`", "'mine.keras'")),
        ((*TRAIN, "--weights", "mine.h5"), ("`--weights`", "'imagenet'")),
        ((*TRAIN, "--image-size", "16000"), ("`--image-size`", "4096", "16000")),
        ((*TRAIN, "--validation", "1"), ("`--validation`", "1.0")),
        ((*TRAIN, "--root", "nowhere"), ("--root", "'nowhere'")),
        (("cross-validate", "FOLDER", "--stage", "losss=mse"), ("`--stage`", "'loss'")),
        (("lr-find", "FOLDER", "--stage", "schedule=up"), ("`--stage schedule`", "'one_cycle'")),
        (("evaluate", "FOLDER", "FOLDER", "--part", "tset"), ("`--part`", "'test'")),
        (("predict", "FOLDER/broken.json", "nowhere.jpg"), ("IMAGES", "'nowhere.jpg'", "does not exist")),
        (("baselines", "FOLDER", "--batch-size", "0"), ("`--batch-size`", "--batch-size=0")),
        (("predict", "FOLDER", "FOLDER"), ("run directory", "model.keras")),
        (("evaluate", "FOLDER/run", "FOLDER"), ("must have finished", "kertl train")),
        (("baselines", "FOLDER", "--resize", "strech"), ("`--resize`", "'stretch'")),
        (("search", "FOLDER", "--test", "-1"), ("`--test`", "-1.0")),
        (("search", "FOLDER", "--strategy", "randm"), ("`--strategy`", "'random'")),
        (("search", "FOLDER", "--folds", "1"), ("`--folds`", "--folds=1")),
        (("cross-validate", "FOLDER", "--folds", "1"), ("`--folds`", "--folds=1")),
        (("lr-find", "FOLDER", "--start", "1", "--end", "0.1"), ("`--end`", "--end=0.1")),
        (("lr-find", "FOLDER", "--steps", "3"), ("`--steps`", "--steps=3")),
        ((*PREDICT, "--coverage", "90"), ("`--coverage`", "--coverage=90.0")),
        ((*PREDICT, "--abstain", "2"), ("`--abstain`", "2")),
        ((*PREDICT, "--abstain", "rsk:0.1"), ("`--abstain`", "rsk:0.1")),
        ((*PREDICT, "--views", "-1"), ("`--views`", "--views=-1")),
        ((*EXPORT, "onnx", "--quantize", "int8"), ("`--quantize`", "--quantize='int8'", "openvino: int8")),
        ((*EXPORT, "openvino", "--quantize", "float16"), ("`--quantize`", "--quantize='float16'")),
        ((*EXPORT, "litert", "--float-group", "stem"), ("`--float-group`", "['stem']")),
        (("doctor", "--accelerator", "gqu"), ("`--accelerator`", "'gpu'")),
        (("compile", "full", "--precision", "float17"), ("`--precision`", "'float32'")),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_refused_before_anything_slow_is_imported(arguments, named, tmp_path, monkeypatch, capsys):
    def too_late(*_):
        raise AssertionError("TensorFlow is imported")

    for module in (_ask, _augment, _compile, _export, _look, _rates, _search, _studies):
        monkeypatch.setattr(module, "start_keras", too_late)
    monkeypatch.setattr(_train, "hardware_entered", too_late)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").touch()
    (tmp_path / "broken.json").write_text("{")
    assert run([one.replace("FOLDER", str(tmp_path)) for one in arguments]) != 0
    assert_names(unwrapped(capsys.readouterr().err), *named)


def test_a_message_about_an_argument_names_the_option_that_was_given():
    message = "`image_size` must be small. Received: image_size=9. Not `steps`, nor image_size=3."
    assert _in_options(message, ["lr-find", "--image-size=9"]) == (
        "`--image-size` must be small. Received: --image-size=9. Not `steps`, nor image_size=3."
    )
    assert _in_options(message, ["lr-find", "--seed", "3"]) == message
    names = "`class_names` must be two. Received: class_names=['a']."
    said = "`--class-name` must be two. Received: --class-name=['a']."
    assert _in_options(names, ["predict", "--class-name", "a"]) == said


@pytest.mark.parametrize(
    ("command", "called", "shown"),
    [
        ("verify", "run_dir", "RUN"),
        ("report", "path", "RUN"),
        ("diagnose", "source", "RUN_OR_LOG"),
        ("sensitivity", "model_or_run", "RUN_OR_MODEL"),
        ("export", "path", "--out"),
        ("train", "run_dir", "--out"),
        ("train", "path", "DIR_OR_CSV"),
        ("evaluate", "path", "DIR_OR_CSV"),
        ("inspect", "path", "FILE"),
        ("predict", "paths", "IMAGES"),
    ],
)
def test_a_message_about_an_argument_names_what_stands_beside_the_options(command, called, shown):
    said = _in_options(f"`{called}` must be there. Received: {called}='x'.", [command, "x"])
    assert said == f"`{shown}` must be there. Received: {shown}='x'."


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("predict", "FOLDER", "s3://bucket/photos"), "IMAGES"),
        (("predict", "FOLDER", "FOLDER", "--out=gs://bucket/p.csv"), "--out"),
        (("shift", "s3://bucket/a", "FOLDER"), "A"),
        (("adapt", "FOLDER", "s3://bucket/a"), "TARGET"),
        (("export", "FOLDER", "--data", "s3://bucket/a"), "--data"),
        (("report", "FOLDER", "--root", "s3://bucket/a"), "--root"),
        (("cross-validate", "FOLDER", "--cache-dir", "s3://bucket/a"), "--cache-dir"),
    ],
    ids=" ".join,
)
def test_an_address_is_refused_where_a_path_must_be_on_this_machine(arguments, name, tmp_path, capsys):
    assert run([one.replace("FOLDER", str(tmp_path)) for one in arguments]) == 2
    said = unwrapped(capsys.readouterr().err)
    assert_names(said, f"`{name}` must be a path on this machine, not an address", "gcloud storage cp -r")
    assert re.search(rf"Received: {name}='(s3|gs)://bucket/", said), "as it was given"
    assert all(one.cls is LocalPaths for one in app.registered_commands)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("predict", "FOLDER", ""), "IMAGES"),
        (("predict", "", "FOLDER"), "RUN_OR_MODEL"),
        (("adapt", "FOLDER", "FOLDER", "--source", ""), "--source"),
        (("inspect", ""), "FILE"),
        (("export", "FOLDER", "--out="), "--out"),
    ],
)
def test_an_empty_text_is_not_the_current_directory(arguments, name, tmp_path, capsys):
    assert run([one.replace("FOLDER", str(tmp_path)) for one in arguments]) == 2
    assert_names(unwrapped(capsys.readouterr().err), f"`{name}` must be a path", "Pass . for the current directory")


def test_every_issue_of_the_images_is_in_the_detailed_messages(tmp_path, caplog):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(2):
            Image.new("RGB", (8, 8), (number * 90, 0, 90 * (name == "a"))).save(tmp_path / name / f"{number}.png")
        (tmp_path / name / "broken.png").write_bytes(b"no image")
    caplog.set_level("DEBUG", "kertl")
    images = TableOptions().read(tmp_path, (8, 8), validation=0, test=0)
    assert len(images.issues) >= 2
    assert {str(issue) for issue in images.issues} <= set(caplog.messages)


def test_the_version_is_printed(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"kertl {kertl.__version__}\n"


@pytest.mark.parametrize(
    ("option", "of_kertl", "of_tensorflow"),
    [("--quiet", "WARNING", "ERROR"), ("--verbose", "DEBUG", "DEBUG"), (None, "INFO", "ERROR")],
)
def test_how_much_is_said_is_asked_for(option, of_kertl, of_tensorflow, capsys):
    loggers = [logging.getLogger(name) for name in ("kertl", "tensorflow")]
    levels, quiet = [one.level for one in loggers], CONSOLE.quiet
    try:
        assert run([*([option] if option else []), "explain", "usage"]) == 0
        assert [logging.getLevelName(one.level) for one in loggers] == [of_kertl, of_tensorflow]
        assert CONSOLE.quiet == (option == "--quiet")
        for one, message in zip(loggers, ("what must be said", "traced again"), strict=True):
            one.warning(message)
        error = capsys.readouterr().err
        assert "what must be said" in error
        assert ("traced again" in error) == (option == "--verbose")
    finally:
        CONSOLE.quiet = quiet
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)
