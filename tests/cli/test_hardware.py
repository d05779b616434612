"""The hardware that commands take, and what they say of it."""

import pytest

import kertl
from kertl.__main__ import run
from kertl.cli._train import _scaled
from kertl.hardware import Choice
from kertl.hardware._mirrored import Mirrored
from tests.messages import assert_names
from tests.runs import quick, recipe, unwrapped


def test_doctor_says_what_would_be_chosen_and_why(capsys, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert run(["doctor", "--accelerator", "cpu"]) == 0
    assert_names(capsys.readouterr().out, "cpu:0", "one_device", "float32", "CPU was asked for")


def test_rates_are_scaled_where_they_are_numbers():
    two = Mirrored(Choice("gpu", "mirrored", ("gpu:0", "gpu:1"), 1, 0, "float32", ()))
    stages = [quick(learning_rate=0.1), quick("mid", learning_rate=(0.01, 0.1)), quick(learning_rate="auto")]
    scaled = _scaled(recipe(*stages, kertl.Stage("deep", solver="exact")), two, "linear")
    assert [stage.learning_rate for stage in scaled.stages] == [0.2, (0.02, 0.2), "auto", kertl.Stage.learning_rate]
    assert _scaled(recipe(*stages), two, "none") == recipe(*stages)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--scale-rate", "cubic"], ("`--scale-rate`", "'sqrt'", "--scale-rate='cubic'")),
        (["--accelerator", "npu"], ("`--accelerator`", "'gpu'", "--accelerator='npu'")),
        (["--batch-per-replica", "0"], ("`--batch-per-replica`", ">= 1", "--batch-per-replica=0")),
    ],
)
def test_what_is_no_hardware_or_scaling_is_refused_before_anything_is_read(tmp_path, capsys, wrong, named):
    assert run(["train", str(tmp_path), "--out", str(tmp_path / "run"), *wrong]) == 2
    assert_names(unwrapped(capsys.readouterr().err), *named)
