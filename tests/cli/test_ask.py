import csv
import io
import json
import logging
import sys

import pytest

import kertl
from kertl.cli import run
from kertl.cli._answers import Row, print_table
from tests.evaluation.pictures import by_padding, files
from tests.messages import assert_names
from tests.runs import unwrapped


@pytest.fixture(scope="module")
def padded(tmp_path_factory):
    """A model that takes padded pictures, and a folder of pictures."""
    folder = tmp_path_factory.mktemp("asked")
    kertl.save(by_padding(resize="pad"), folder / "m.keras")
    return folder / "m.keras", files(folder / "pictures")


def printed(arguments, capsys):
    capsys.readouterr()
    assert run([*map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_evaluate_decodes_images_as_the_model_takes_them(padded, capsys):
    model, folder = padded
    found = json.loads(printed(["evaluate", model, folder, "--json"], capsys))
    assert (found["accuracy"], found["images"]) == (1.0, 12)


def test_predict_decodes_images_as_the_model_takes_them(padded, capsys):
    model, folder = padded
    rows = list(csv.DictReader(io.StringIO(printed(["predict", model, folder, "--csv"], capsys))))
    assert len(rows) == 12
    assert all(row["class_1"] in row["file"].replace("\\", "/").split("/")[-2] for row in rows)


def test_evaluate_names_the_classes_that_have_no_image(padded, tmp_path, capsys):
    model, folder = padded
    (tmp_path / "wide").mkdir()
    for file in (folder / "wide").iterdir():
        (tmp_path / "wide" / file.name).write_bytes(file.read_bytes())
    found = json.loads(printed(["evaluate", model, tmp_path, "--json"], capsys))
    assert (found["accuracy"], found["missing_classes"]) == (1.0, ["tall"])


@pytest.mark.parametrize(("part", "images"), [(None, 4), ("test", 4), ("train", 8), ("all", 12)])
def test_of_a_divided_folder_the_test_part_is_evaluated_unless_another_is_named(padded, tmp_path, capsys, part, images):
    model, folder = padded
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        beside = tmp_path / ("test" if number % 3 == 0 else "train") / file.parent.name
        beside.mkdir(parents=True, exist_ok=True)
        (beside / file.name).write_bytes(file.read_bytes())
    named = [] if part is None else ["--part", part]
    found = json.loads(printed(["evaluate", model, tmp_path, "--json", *named], capsys))
    assert (found["images"], found["part"]) == (images, part or "test")
    if part is None:
        assert "(test)" in printed(["evaluate", model, tmp_path], capsys)
        loaded = kertl.load(model)
        assert kertl.evaluate(loaded, tmp_path)["images"] == 4
        assert kertl.evaluate(loaded, folder)["images"] == 12


def test_no_control_character_of_a_name_reaches_the_terminal(padded, tmp_path, capsys, monkeypatch):
    model, folder = padded
    strange = "\x1b[31mred\x9b1m\u202e"
    content = (folder / "wide" / "0.png").read_bytes()
    (tmp_path / strange).mkdir()
    (tmp_path / strange / f"{strange}.png").write_bytes(content)
    (tmp_path / strange / f"{strange}.txt").write_text("words")
    for arguments in (
        ["predict", model, tmp_path],
        ["predict", model, tmp_path, "--json"],
        ["predict", model, tmp_path, "--csv"],
        ["predict", model, tmp_path / strange / f"{strange}.txt"],
        ["evaluate", model, tmp_path],
        ["evaluate", model, tmp_path / strange],
    ):
        with monkeypatch.context() as patched:
            if "--csv" in arguments:
                patched.setattr(sys.stdout, "isatty", lambda: True)
            run([*map(str, arguments)])
        said = capsys.readouterr()
        assert not [char for char in said.out + said.err if not char.isprintable() and char != "\n"]
        assert "31mred" in (said.out + said.err).replace("\n", "")
    found = json.loads(printed(["predict", model, tmp_path, "--json"], capsys))
    assert found[0]["file"] == str(tmp_path / strange / f"{strange}.png")
    rows = list(csv.DictReader(io.StringIO(printed(["predict", model, tmp_path, "--csv"], capsys))))
    assert [row["file"] for row in rows] == [one["file"] for one in found], "another program reads the names themselves"


def test_messages_in_the_log_have_no_control_characters(capsys):
    run(["predict", "nowhere"])
    logging.getLogger("kertl").warning("No image is of class %s.\nSo.", "\x1b[31mred")
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert r"\x1b[31mred." in said
    assert "\nSo." in said, "a line break of the message itself stays"


def test_one_form_of_output_can_be_asked_for(padded, capsys):
    model, folder = padded
    assert run(["predict", str(model), str(folder), "--json", "--csv"]) != 0
    said = capsys.readouterr()
    assert_names(said.err, "`--json`", "`--csv`")
    assert not said.out


@pytest.mark.parametrize("command", ["predict", "evaluate", "export", "report", "inspect", "verify", "diagnose"])
def test_an_address_without_a_run_is_refused_in_words(bucket, padded, capsys, command):
    images = [str(padded[1])] if command in ("predict", "evaluate") else []
    assert run([command, "memory://bucket/nothing", *images]) != 0
    assert_names(capsys.readouterr().err, "memory://bucket/nothing", "no .kertl-files.json", "run-directory")


def test_an_address_of_no_known_kind_is_refused_in_words(capsys):
    assert run(["verify", "nowhere://bucket/run"]) == 2
    assert_names(capsys.readouterr().err, "nowhere://bucket/run", "not known")


def test_an_empty_set_is_explained_beneath_the_table(capsys):
    answer = {"classes": [{"class": "wide", "probability": 0.4}]}
    for names, told in ((["wide"], False), ([], True)):
        print_table("single_label", [Row("1.png", answer, {"set": names}), Row("2.png", error="is empty")])
        assert ("no class is likely enough" in unwrapped(capsys.readouterr().out)) == told
