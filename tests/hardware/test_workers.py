"""Two processes on this machine train one model, as one process does."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from kertl.errors import RunError
from kertl.hardware import Team
from kertl.runner._agreement import agreed, outside
from kertl.runner._values import from_bytes, to_bytes
from tests.hardware import kills
from tests.hardware.several import ended, start, weights

TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TF_CONFIG is TensorFlow's")


def apart(one, other):
    return max(float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
@pytest.mark.promise
@TENSORFLOW
def test_two_workers_of_which_one_is_killed_end_with_the_weights_of_one_process(tmp_path):
    (alone,) = ended(start(tmp_path / "alone", workers=1))
    assert alone[0] == 0, alone
    first = ended(start(tmp_path / "two", KERTL_TEST_DIES="1:8"))  # in the last of three epochs
    assert first[1][0] == -9, first
    assert first[0][0] not in (0, None), first
    assert "Another of the 2 workers has gone" in first[0][2]
    history = (tmp_path / "two" / "run" / "history.csv").read_text()
    assert len(history.splitlines()) == 3, "two epochs were done"
    second = ended(start(tmp_path / "two"))
    assert [status for status, _, _ in second] == [0, 0], second
    assert (tmp_path / "two" / "run" / "history.csv").read_text().startswith(history)
    by_worker = [weights(tmp_path / "two", worker) for worker in (0, 1)]
    assert apart(*by_worker) == 0
    assert apart(weights(tmp_path / "alone"), by_worker[0]) < 1e-6
    assert [told["accuracy"] for _, told, _ in second] == [alone[1]["accuracy"]] * 2
    np.testing.assert_allclose(second[1][1]["losses"], alone[1]["losses"], rtol=1e-5)
    assert second[1][1]["at"] == "None", "the second worker has no directory"


@pytest.mark.slow
@pytest.mark.promise
@TENSORFLOW
def test_the_command_goes_on_exactly_after_its_chief_was_killed_in_the_midst(tmp_path):
    kills.prepare(tmp_path)
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "killed"
    found = kills.ended(kills.begin(tmp_path, undisturbed), 200)
    assert [status for status, _ in found] == [0, 0], found
    processes = kills.begin(tmp_path, out)
    while kills.epochs(out) < 7 and processes[0].poll() is None:  # in the second stage
        time.sleep(0.02)
    statuses, named = kills.kill_one(processes, 0, delay=0.3)
    assert (statuses[0], named) == (-9, True)
    assert 7 <= kills.epochs(out) < 12
    found = kills.ended(kills.begin(tmp_path, out), 200)
    assert [status for status, _ in found] == [0, 0], found
    assert kills.equal(undisturbed, out)


@pytest.mark.slow
@TENSORFLOW
@pytest.mark.parametrize("name", ["random", "auto"])
def test_two_workers_agree_where_much_is_drawn_or_chosen(tmp_path, name):
    found = ended(start(tmp_path, name))
    assert [status for status, _, _ in found] == [0, 0], found
    assert apart(weights(tmp_path, 0), weights(tmp_path, 1)) == 0
    again = ended(start(tmp_path, name))  # a finished run is read, by the chief, for all
    assert [told for _, told, _ in again] == [told for _, told, _ in found]


@pytest.mark.slow
@TENSORFLOW
def test_workers_with_other_images_are_refused_in_each(tmp_path):
    found = ended(start(tmp_path, "other"))
    assert all(status not in (0, None) for status, _, _ in found)
    assert all("All 2 workers must have the same images" in errors for _, _, errors in found), found


def test_one_process_reads_for_itself():
    team = Team()
    assert (team.size, team.index, team.chief) == (1, 0, True)
    assert agreed(team, lambda: {"a": 1}) == {"a": 1}
    assert outside(team, lambda: 3) == 3
    team.check_alike("recipe", b"x")
    with pytest.raises(ZeroDivisionError), team.loss_named(str):
        raise ZeroDivisionError


def test_what_the_chief_reads_arrives_as_it_was():
    value = {"a": [1, None, 2.5], "arrays": [np.arange(3), np.ones((2, 1), "float16")], "text": "é", "none": {}}
    found = from_bytes(to_bytes(value))
    assert json.dumps({**found, "arrays": 0}) == json.dumps({**value, "arrays": 0})
    for before, after in zip(value["arrays"], found["arrays"], strict=True):
        np.testing.assert_array_equal(before, after)
        assert before.dtype == after.dtype


class Elsewhere(Team):
    """The second of two processes, whose chief says what is given."""

    def __init__(self, sent, failed=False):
        self._strategy, self.size, self.index = object(), 2, 1
        self.sums = [np.array([failed, len(sent)]), np.frombuffer(sent.ljust(-(-len(sent) // 4) * 4, b"\0"), np.int32)]

    def _sum(self, numbers):
        return self.sums.pop(0)


def test_another_process_gets_what_the_chief_sent_or_its_error():
    assert Elsewhere(b"hello").bytes_from_chief(lambda: pytest.fail("asked")) == b"hello"
    with pytest.raises(RunError, match="chief of 2 workers stopped: the disk is full"):
        Elsewhere(b"the disk is full", failed=True).bytes_from_chief(lambda: pytest.fail("asked"))
    given = [np.float32([[1, 2]]), np.float32([3])]
    sent = b"".join(value.tobytes() for value in given)
    found = Elsewhere(sent).values_from_chief([np.zeros_like(value) for value in given])
    assert [value.tolist() for value in found] == [[[1.0, 2.0]], [3.0]]


class One(Team):
    """A process of several on threads of this one, which add up what each of them gives."""

    def __init__(self, index, together, sums):
        self._strategy, self.size, self.index = object(), together.parties, index
        self._together, self._sums = together, sums

    def _sum(self, numbers):
        self._sums[self.index] = numbers
        self._together.wait()
        found = np.sum(self._sums, axis=0, dtype=np.int32)
        self._together.wait()
        return found


@pytest.mark.parametrize("counts", [(3, 2), (1, 0, 4)])
def test_the_rows_of_all_processes_are_in_the_order_of_the_processes(counts):
    whole = np.random.default_rng(0).normal(size=(sum(counts), 3, 5)).astype("float16")
    parts = np.split(whole, np.cumsum(counts)[:-1])
    together, sums = threading.Barrier(len(counts), timeout=30), [None] * len(counts)
    with ThreadPoolExecutor(len(counts)) as pool:
        found = list(pool.map(lambda at: One(at, together, sums).rows_of_all(parts[at]), range(len(counts))))
    for rows in found:
        assert rows.dtype == whole.dtype
        np.testing.assert_array_equal(rows, whole)
    assert Team().rows_of_all(whole) is whole


def test_a_process_that_has_gone_is_named_with_what_to_do():
    class UnavailableError(Exception):
        pass

    with (
        pytest.raises(RunError, match="Another of the 2 workers has gone") as caught,
        Elsewhere(b"").loss_named(lambda: "Resume here."),
    ):
        raise UnavailableError
    assert "Start all of them again. Resume here." in str(caught.value)
