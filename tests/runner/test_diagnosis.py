import dataclasses
import logging

import numpy as np
import pytest

import kertl
from kertl.diagnosis import Known, Watch
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


def test_while_it_trains_the_shares_of_the_classes_are_known(monkeypatch):
    known = []
    monkeypatch.setattr("kertl.runner._stage.Watch", lambda told: known.append(told) or Watch(told))
    data = squares()
    kertl.fine_tune(tiny(), data, recipe=recipe(quick()), verbose=0)
    (told,) = known
    shares = np.bincount(data.validation.labels) / data.validation.num_examples
    assert (told.classes, told.majority) == (3, pytest.approx(shares.max()))


def test_an_accuracy_that_stands_still_far_above_the_largest_class_is_no_single_class():
    rows = {"accuracy": [0.9] * 6, "val_accuracy": [0.9412] * 6, "loss": [0.5] * 6, "val_loss": [0.4] * 6}
    rows = [{"stage": 0, "epoch": epoch, **{name: of[epoch] for name, of in rows.items()}} for epoch in range(6)]
    told = Known(task="single_label", classes=3, validation_images=136)
    for majority, verdict in ((0.9412, True), (0.35, False)):
        watch = Watch(dataclasses.replace(told, majority=majority))
        watch.look(rows, 3)
        assert (watch.diagnosis.verdict == "class_collapse") == verdict
