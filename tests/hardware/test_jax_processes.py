"""Two processes of JAX on this machine train one model, as one process does; each feeds its share."""

import keras
import numpy as np
import pytest

from kertl import hardware
from kertl.hardware import _processes
from kertl.hardware._processes import Share
from tests.hardware.jax_processes import ended, start, values

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


@pytest.fixture
def told(monkeypatch):
    def tell(*values):
        for name, value in zip(VARIABLES, values, strict=True):
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)

    return tell


@pytest.mark.slow
@pytest.mark.promise
def test_two_processes_end_with_the_weights_of_one(tmp_path):
    pytest.importorskip("jax")
    (alone,) = ended(start(tmp_path / "alone", 1))
    assert alone[0] == 0, alone
    two = ended(start(tmp_path / "two", 2))
    assert [status for status, *_ in two] == [0, 0], two
    assert [out.split()[-2:] for _, out, _ in two] == [["replicas", "2"]] * 2
    one, first, second = values(tmp_path / "alone"), values(tmp_path / "two"), values(tmp_path / "two", 1)
    for mine, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(mine, other)
    for mine, other in zip(one, first, strict=True):
        np.testing.assert_allclose(other, mine, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((None, None, None), (1, 0)),
        (("127.0.0.1:1", "3", "2"), (3, 2)),
        (("127.0.0.1:1", None, "0"), "`JAX_NUM_PROCESSES` must be a whole number.*JAX_NUM_PROCESSES=None"),
        (("127.0.0.1:1", "two", "0"), "`JAX_NUM_PROCESSES` must be a whole number.*'two'"),
        (("127.0.0.1:1", "2", "2"), "`JAX_PROCESS_ID` must be below JAX_NUM_PROCESSES, which is 2.*=2"),
    ],
)
def test_the_processes_are_those_that_jaxs_variables_name(told, values, expected):
    told(*values)
    if isinstance(expected, tuple):
        assert _processes.processes_told() == expected
    else:
        with pytest.raises(ValueError, match=expected):
            _processes.processes_told()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "`accelerator` must be 'cpu', 'gpu' or 'tpu' where JAX_COORDINATOR_ADDRESS names several.*'auto'"),
        ({"accelerator": "cpu", "devices": 2}, "`devices` must be None, for all devices of each process.*=2"),
    ],
)
def test_before_jax_starts_the_accelerator_must_be_given(told, monkeypatch, arguments, message):
    told("127.0.0.1:1", "2", "1")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=message):
        hardware.choose(**arguments)
    choice = hardware.choose("gpu")
    assert (choice.strategy, choice.workers, choice.worker, choice.precision) == ("processes", 2, 1, "float32")


class Batches(keras.utils.PyDataset):
    def __init__(self, sizes):
        super().__init__()
        self._sizes = sizes

    def __len__(self):
        return len(self._sizes)

    def __getitem__(self, index):
        rows = np.arange(self._sizes[index])
        return rows[:, None], rows


def test_the_shares_of_a_batch_make_up_the_batch_and_one_that_cannot_be_shared_is_named():
    shares = [Share(Batches([8, 6]), 2, number, 4) for number in (0, 1)]
    assert [len(one) for one in shares] == [2, 2]
    assert [one[0][1].tolist() for one in shares] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(ValueError, match=r"that 4 devices can share equally.*'batch 1 of 6 rows'"):
        shares[0][1]


def test_in_one_process_everything_is_its_share():
    batches = Batches([3])
    assert hardware.processes() == 1
    assert hardware.share(batches) is batches
