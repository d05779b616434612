import logging

import pytest

import kertl
from kertl.runner import Run
from tests.runs import quick, recipe, squares, tiny

LOSSES = {
    "loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02],
    "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2, 1.4, 1.5],
}


def test_a_run_has_a_diagnosis_with_its_own_recipe_and_its_table_ends_with_the_verdict():
    rows = [
        {"stage": 0, "at": "mid", "epoch": epoch + 1, **{name: values[epoch] for name, values in LOSSES.items()}}
        for epoch in range(8)
    ]
    metrics = {"validation": {"images": 400, "accuracy": 0.8}, "test": {"images": 400, "accuracy": 0.79}}
    run = Run(None, kertl.Recipe([kertl.Stage("mid", epochs=8)]), rows, metrics, None)
    assert run.diagnosis.verdict == "overfitting"
    assert run.diagnosis == kertl.diagnose(run)
    assert "'mid', epochs=3" in run.diagnosis.next
    assert run.table().endswith(f"{run.diagnosis.sentence}\n")


@pytest.fixture(scope="module")
def slow_run(tmp_path_factory):
    """A run at a rate that is far too low, and what was logged."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    logging.getLogger("kertl").addHandler(handler)
    try:
        plan = recipe(quick("deep", epochs=9, learning_rate=1e-6, schedule="constant", cache="auto"))
        run = kertl.fine_tune(
            tiny(dropout=0.0), squares(), recipe=plan, run_dir=tmp_path_factory.mktemp("run"), verbose=0
        )
    finally:
        logging.getLogger("kertl").removeHandler(handler)
    return run, [record.getMessage() for record in records]


def test_fine_tune_says_what_is_worth_stopping_for_while_epochs_are_left(slow_run):
    run, messages = slow_run
    (said,) = [message for message in messages if "To try:" in message]
    assert "rate is too low" in said
    assert "with 4 left" in said
    assert run.diagnosis.verdict == "rate_too_low"


def test_the_directory_of_a_run_has_the_diagnosis_of_the_run(slow_run):
    run, _ = slow_run
    assert kertl.diagnose(run.run_dir).to_dict() == run.diagnosis.to_dict()
