import re

import numpy as np
import pytest
from rich.console import Console

import kertl
from kertl.features import _progress
from tests.features import extraction


def said(capsys, **options):
    kertl.extract(extraction.model(), np.zeros((70, 32, 32, 3), "uint8"), engine="keras", **options)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_progress_is_shown_on_stderr_with_images_per_second_and_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "_PATIENCE_SECONDS", -1)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(_progress, "CONSOLE", Console(stderr=True, force_terminal=True))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said(capsys, verbose=True))
    assert "Extracting features" in shown
    assert "70/70" in shown
    assert re.search(r"\d:\d\d:\d\d", shown)


@pytest.mark.parametrize("verbose", [False, "auto"])
def test_no_progress_is_shown_where_it_is_not_wanted_or_stderr_is_a_file(capsys, monkeypatch, verbose):
    monkeypatch.setattr(_progress, "_PATIENCE_SECONDS", -1)
    assert said(capsys, verbose=verbose) == ""


def test_no_progress_is_shown_for_work_of_a_moment(capsys, monkeypatch):
    monkeypatch.setattr(_progress, "_PATIENCE_SECONDS", 600)
    assert said(capsys, verbose=True) == ""
