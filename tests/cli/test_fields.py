import dataclasses

import pytest

import kertl
from kertl.cli import run
from kertl.cli._fields import documented


@pytest.mark.parametrize("kind", [kertl.Stage, kertl.Recipe, kertl.Head], ids=lambda kind: kind.__name__)
def test_the_docstring_says_something_of_every_field_and_of_nothing_else(kind):
    said = documented(kind)
    assert list(said) == [field.name for field in dataclasses.fields(kind)]
    assert all(len(text) > 15 and text.endswith(".") for text in said.values())


def test_what_goes_over_several_lines_is_said_whole():
    said = documented(kertl.Stage)
    assert said["at"].endswith("or a number of groups.")
    assert "slanted_triangular" in said["schedule"]
    assert said["batch_size"].startswith("Images per step")


@pytest.mark.parametrize("kind", [kertl.Stage, kertl.Head], ids=lambda kind: kind.__name__)
def test_help_among_the_values_shows_every_field_and_trains_nothing(kind, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["train", f"--{kind.__name__.lower()}", "help"]) == 0
    printed = capsys.readouterr().out
    for name, text in documented(kind).items():
        assert f" {name} " in printed
        assert text.split()[0] in printed
    assert "0.001" in printed or kind is kertl.Head


def test_the_help_of_train_names_the_fields_of_a_stage(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert run(["train", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in dataclasses.fields(kertl.Stage):
        assert field.name in printed
    assert "--stage help" in printed


def test_an_unknown_field_is_an_error_that_names_the_nearest(capsys, tmp_path):
    assert run(["train", str(tmp_path), "--out", str(tmp_path / "run"), "--stage", "epoch=3"]) == 2
    assert "epochs" in capsys.readouterr().err
