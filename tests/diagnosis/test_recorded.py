import pytest

from kertl.diagnosis import VERDICTS, Known, Watch
from tests.diagnosis.recorded import RECORDS, diagnosed, of_cause

# What is known of a training before it has ended.
BEFORE = ("task", "classes", "validation_images", "majority", "baseline")
CAUSES = sorted({one["cause"] for one in RECORDS})


def test_there_are_trainings_of_every_verdict_that_a_cause_can_have():
    assert set(CAUSES) == set(VERDICTS) - {"too_short", "no_validation"}
    for half in ("set", "judged"):
        assert len([one for one in RECORDS if one["half"] == half]) >= 60
        assert {one["cause"] for one in RECORDS if one["half"] == half} == set(CAUSES)


@pytest.mark.parametrize("half", ["set", "judged"])
def test_no_healthy_training_is_called_ill(half):
    ill = [
        (one["data"], one["seed"], diagnosed(one)) for one in of_cause("good_fit", half) if not diagnosed(one).healthy
    ]
    assert not ill


@pytest.mark.parametrize("half", ["set", "judged"])
def test_at_least_85_percent_of_the_trainings_are_recognised(half):
    records = [one for one in RECORDS if one["half"] == half]
    right = sum(diagnosed(one).verdict == one["cause"] for one in records)
    assert right / len(records) >= 0.85


@pytest.mark.parametrize("cause", CAUSES)
def test_half_of_the_trainings_of_each_cause_are_recognised_or_have_it_among_what_was_found(cause):
    records = of_cause(cause)
    found = [cause in [finding.verdict for finding in diagnosed(one).findings] for one in records]
    assert sum(found) >= len(records) / 2


def told_in_time(record):
    """What a watch says while there are epochs left."""
    known = {name: value for name, value in record["known"].items() if name in BEFORE}
    watch, history = Watch(Known(**known)), record["history"]
    rows = [dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)]
    stages = [row.get("stage", 0) for row in rows]
    said = (watch.look(rows[: row + 1], stages[row + 1 :].count(stages[row])) for row in range(len(rows)))
    return [one for one in said if one]


def test_a_watch_is_silent_during_healthy_trainings():
    assert not [one for record in of_cause("good_fit") for one in told_in_time(record)]


@pytest.mark.parametrize("cause", ["overfitting", "rate_too_low", "vanishing_gradients"])
def test_a_watch_speaks_in_time_of_what_grows_slowly(cause):
    told = [bool(told_in_time(record)) for record in of_cause(cause)]
    assert sum(told) >= 0.8 * len(told)


@pytest.mark.parametrize("cause", CAUSES)
def test_the_unit_of_a_regression_does_not_matter(cause):
    """Errors of targets in millimetres are a million times those in metres, squared."""
    for one in of_cause(cause):
        if one["known"]["task"] == "regression":
            in_other_units = {
                name: [None if value is None else value * 1e6 for value in values] if "loss" in name else values
                for name, values in one["history"].items()
            }
            known = {**one["known"], "baseline": one["known"]["baseline"] * 1e6}
            assert diagnosed({"history": in_other_units, "known": known}).verdict == diagnosed(one).verdict
