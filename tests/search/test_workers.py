import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kertl.search import TransferHyperModel, _leases, read
from tests.messages import assert_names
from tests.runs import REPOSITORY, squares
from tests.search.spaces import backbone, heads
from tests.search.test_tune import search


def take_part(folder, killed=False):
    """What each process of a search does: the same call; in its first trial it may be killed."""
    fit = TransferHyperModel.fit

    def watched(self, hp, model, **options):
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        print("trained", sorted(hp.values.items()), flush=True)
        return fit(self, hp, model, **options)

    TransferHyperModel.fit = watched
    _leases.LOST, _leases.BEAT = 10, 1
    search(squares(), folder, max_trials=6)


def completed(folder):
    return sum('"COMPLETED"' in path.read_text() for path in Path(folder).glob("trial_*/trial.json"))


@pytest.mark.slow
@pytest.mark.promise
def test_of_a_chief_and_two_workers_one_is_killed_and_the_chief_and_the_other_trains_all(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def begin(name, **options):
        code = f"from tests.search.test_workers import take_part; take_part({str(tmp_path)!r}, **{options!r})"
        shared = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            env={**os.environ, **shared, "KERASTUNER_TUNER_ID": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    processes = {"chief": begin("chief"), "worker0": begin("worker0", killed=True), "worker1": begin("worker1")}
    try:
        complaints = processes["worker0"].communicate(timeout=180)
        assert processes["worker0"].returncode == -signal.SIGKILL, complaints
        del processes["worker0"]
        until = time.monotonic() + 180
        while completed(tmp_path) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        processes["chief"].kill()
        processes["chief"].communicate(timeout=60)
        assert 2 <= completed(tmp_path) < 6, "the chief dies in the midst"
        processes["chief"] = begin("chief")
        said = {name: process.communicate(timeout=180) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
    assert {name: process.returncode for name, process in processes.items()} == dict.fromkeys(processes, 0), said
    assert {line.split()[0] for out, _ in said.values() for line in out.splitlines()} == {"trained"}
    trained = {name: out.count("trained") for name, (out, _) in said.items()}
    assert trained["chief"] == 0
    assert trained["worker1"] == 6
    found = read(tmp_path)
    assert len(found.completed) == 6
    assert len({tuple(sorted(trial.values.items())) for trial in found.trials}) == 6
    assert (tmp_path / "leaderboard.json").exists()


def test_an_address_that_others_reach_is_warned_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "192.0.2.1")
    with caplog.at_level(logging.WARNING), pytest.raises(RuntimeError, match="KERASTUNER_ORACLE_PORT"):
        search(squares(), tmp_path, backbones=[backbone()], space=heads)
    assert_names(caplog.text, "192.0.2.1", "authentication")
