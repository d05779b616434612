import time
import types

import keras_tuner
import pytest

from kertl.search import _leases
from kertl.search._oracles import oracle_for
from tests.messages import assert_names


@pytest.fixture
def oracle(tmp_path):
    """A chief's oracle for three trials."""
    made = oracle_for("random", keras_tuner.Objective("val_loss", "min"), max_trials=3, epochs=1, seed=0, keep=1)
    made._set_project_dir(str(tmp_path), "search")
    space = keras_tuner.HyperParameters()
    space.Float("learning_rate", 1e-4, 1e-2, sampling="log")
    made.update_space(space)
    made.waits_for_others = True
    return made


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(_leases, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    return now


def ended(oracle, trial, value=1.0):
    trial.status = "COMPLETED"
    oracle.update_trial(trial.trial_id, {"val_loss": value})
    oracle.end_trial(trial)


def sign(folder, worker, text):
    _leases._sign_of(folder, worker).write_text(text)


def test_the_trial_of_a_worker_without_a_sign_of_life_goes_to_another(oracle, tmp_path, clock, caplog):
    lost, kept = oracle.create_trial("lost"), oracle.create_trial("kept")
    watch = _leases.Watch(tmp_path, oracle)
    for beat in range(14):
        sign(tmp_path, "kept", str(beat))
        watch.look()
        clock[0] += 5
    assert_names(caplog.text, "lost", lost.trial_id, "Workers left: 1")
    assert oracle.workers() == ("kept",)
    ended(oracle, kept)
    assert oracle.create_trial("kept").trial_id == lost.trial_id


def test_a_worker_that_waits_gets_the_trial_that_comes_back(oracle):
    first = oracle.create_trial("lost")
    for _ in range(2):
        ended(oracle, oracle.create_trial("kept"))
    assert oracle.create_trial("kept").status == "IDLE"
    oracle.give_up("lost", 61)
    again = oracle.create_trial("kept")
    assert again.trial_id == first.trial_id
    ended(oracle, again)
    assert oracle.create_trial("kept").status == "STOPPED"
    assert not oracle.workers()


def test_a_trial_that_ends_twice_counts_once(oracle):
    slow = oracle.create_trial("slow")
    oracle.give_up("slow", 61)
    again = oracle.create_trial("other")
    assert again.trial_id == slow.trial_id
    ended(oracle, slow, 1.0)
    ended(oracle, again, 1.0)
    assert oracle.end_order == [slow.trial_id]
    assert not oracle.ongoing_trials


def test_a_worker_that_was_only_slow_takes_its_trial_out_of_the_queue(oracle):
    slow = oracle.create_trial("slow")
    oracle.give_up("slow", 61)
    ended(oracle, slow)
    assert oracle.create_trial("other").trial_id != slow.trial_id


def test_where_no_worker_is_left_it_is_said(oracle, caplog):
    oracle.create_trial("only")
    oracle.give_up("only", 75)
    assert_names(caplog.text, "only", "75 seconds", "No worker is left")


def test_a_worker_shows_that_it_lives_as_long_as_it_does(oracle, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "../worker")
    monkeypatch.setattr(_leases, "BEAT", 0.01)
    with _leases.lease(tmp_path, oracle):
        signs = set()
        until = time.monotonic() + 60
        while len(signs) < 3 and time.monotonic() < until:
            signs |= {path.read_text() for path in (tmp_path / _leases.FOLDER).iterdir()}
    (path,) = (tmp_path / _leases.FOLDER).iterdir()
    assert len(signs) >= 3
    last = path.read_text()
    time.sleep(0.05)
    assert path.read_text() == last


def test_a_chief_that_is_started_again_leaves_each_trial_with_its_worker(oracle, tmp_path, monkeypatch):
    kept, done = oracle.create_trial("kept"), oracle.create_trial("other")
    ended(oracle, done)
    for name, expected in (("tuner0", {}), ("chief", {"kept": kept.trial_id})):
        monkeypatch.setenv("KERASTUNER_TUNER_ID", name)
        again = oracle_for("random", oracle.objective, max_trials=3, epochs=1, seed=0, keep=1)
        again._set_project_dir(str(tmp_path), "search")
        again.reload()
        assert {worker: trial.trial_id for worker, trial in again.ongoing_trials.items()} == expected
        assert again._retry_queue == ([] if expected else [kept.trial_id])
        if expected:
            assert again.create_trial("kept").trial_id == kept.trial_id
            assert again.create_trial("other").trial_id not in (kept.trial_id, done.trial_id)


def test_a_chief_that_is_started_again_after_the_last_trial_stops(oracle, tmp_path, clock, monkeypatch):
    dismissed = []
    monkeypatch.setattr(_leases, "dismiss", dismissed.append)
    last = [oracle.create_trial(worker) for worker in ("a", "b", "c")]
    watch = _leases.Watch(tmp_path, oracle)
    clock[0] += 61
    for trial in last:
        assert not dismissed
        watch.look()
        ended(oracle, trial)
    watch.look()
    assert not dismissed, "workers are told by themselves"
    assert [oracle.create_trial(worker).status for worker in ("a", "b", "c")] == ["STOPPED"] * 3
    for _ in range(2):
        watch.look()
    assert dismissed == [oracle]
