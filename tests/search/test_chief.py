import importlib
import socket
import threading
import types

import grpc
import keras_tuner
import pytest

from kertl.errors import RunError
from kertl.search import _chief
from kertl.search._oracles import oracle_for
from tests.messages import assert_names


class Refused(grpc.RpcError):
    """What gRPC raises, with a status."""

    def __init__(self, status):
        self.code = lambda: status


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(_chief, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "9999")
    return now


def answering_after(attempts, clock, status=grpc.StatusCode.DEADLINE_EXCEEDED):
    """A request that is refused so many times, each after all the time that it was given."""
    asked = []

    def call(request, *, timeout, **options):
        asked.append(request)
        if len(asked) <= attempts:
            clock[0] += timeout
            raise Refused(status)
        return f"{request}, answered"

    return call, asked


def test_a_request_in_whose_midst_the_chief_dies_is_made_again(clock, caplog):
    call, asked = answering_after(1, clock, grpc.StatusCode.UNAVAILABLE)
    assert _chief._asked(call, "a trial", timeout=3600, wait_for_ready=True) == "a trial, answered"
    assert asked == ["a trial"] * 2


def test_a_worker_without_an_answer_says_so_within_a_minute_and_once(clock, caplog):
    call, _ = answering_after(4, clock)
    assert _chief._asked(call, "a trial", timeout=3600) == "a trial, answered"
    (said,) = caplog.messages
    assert_names(said, "127.0.0.1:9999", "45 seconds", "KERASTUNER_ORACLE_PORT", "still waits")


def test_a_worker_gives_up_after_the_time_that_it_was_given(clock):
    call, asked = answering_after(10**6, clock)
    with pytest.raises(RunError, match=r"no answer on 127\.0\.0\.1:9999 for 3600 seconds"):
        _chief._asked(call, "a trial", timeout=3600)
    assert len(asked) == 80


def test_what_the_chief_refuses_is_raised_as_it_is(clock):
    call, asked = answering_after(1, clock, grpc.StatusCode.UNKNOWN)
    with pytest.raises(Refused):
        _chief._asked(call, "a trial", timeout=3600)
    assert len(asked) == 1


def test_requests_go_to_the_chief_that_is_named(monkeypatch, caplog):
    from kertl._keras import oracle_client

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setattr(_chief, "PATIENCE", 0.1)
    for name, value in {"TUNER_ID": "worker0", "ORACLE_IP": "127.0.0.1", "ORACLE_PORT": str(port)}.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    client = oracle_client(None)
    requests = _chief.Requests(client)
    with pytest.raises(RunError, match=f"127.0.0.1:{port}"):
        requests.GetSpace(_request(client, "GetSpace"), wait_for_ready=True, timeout=0.3)
    assert_names(caplog.text, f"127.0.0.1:{port}")


def test_a_chief_that_is_dismissed_stops_serving(tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, value in {"TUNER_ID": "chief", "ORACLE_IP": "127.0.0.1", "ORACLE_PORT": str(port)}.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    oracle = oracle_for("random", keras_tuner.Objective("val_loss", "min"), max_trials=1, epochs=1, seed=0, keep=1)
    oracle._set_project_dir(str(tmp_path), "search")
    trial = oracle.create_trial("worker0")
    trial.status = "COMPLETED"
    oracle.update_trial(trial.trial_id, {"val_loss": 1.0})
    oracle.end_trial(trial)
    oracle.tuner_ids.clear()  # as where the chief was started again
    assert oracle.over()
    server = importlib.import_module("keras_tuner.src.distribute.oracle_chief")
    serving = threading.Thread(target=server.start_server, args=(oracle,), daemon=True)
    serving.start()
    _chief.dismiss(oracle)
    serving.join(timeout=30)
    assert not serving.is_alive()
    assert len(oracle.trials) == 1


def _request(client, name):
    """An empty request of a kind, found as gRPC serialises it."""
    return getattr(importlib.import_module("keras_tuner.src.protos").get_service(), f"{name}Request")()
