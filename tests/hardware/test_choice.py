import json

import keras
import pytest

from kertl import hardware
from kertl.hardware import _choice, _precision
from kertl.recipe import PRECISIONS
from tests.messages import assert_names

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TF_CONFIG is TensorFlow's")


@pytest.fixture
def there(monkeypatch):
    """Let the backend see so many GPUs and TPUs."""

    def see(gpu=0, tpu=0, capability=(8, 0)):
        monkeypatch.setattr(_choice, "_there", lambda backend, accelerator: {"cpu": 1, "gpu": gpu, "tpu": tpu})
        monkeypatch.setattr(_precision, "_capability", lambda backend: capability)

    see()
    monkeypatch.delenv("TF_CONFIG", raising=False)
    return see


def told(monkeypatch, cluster=None, **task):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER if cluster is None else cluster, "task": task}))


def test_the_best_that_is_there_is_chosen_and_the_reasons_are_said(there):
    assert hardware.choose().devices == ("cpu:0",)
    there(gpu=2)
    assert hardware.choose().devices == ("gpu:0", "gpu:1")
    assert hardware.choose("cpu").devices == ("cpu:0",)
    assert_names(hardware.choose().table(), "gpu:0, gpu:1", "mixed_bfloat16", "There are 2 devices", "GPU is seen")
    there(gpu=2, tpu=1)
    assert hardware.choose().accelerator == "tpu"


def test_a_choice_goes_through_json(there):
    choice = hardware.choose()
    assert hardware.Choice.from_json(choice.to_json()) == choice


def test_some_of_the_devices_can_be_chosen(there):
    there(gpu=4)
    assert hardware.choose(devices=2).devices == ("gpu:0", "gpu:1")
    assert hardware.choose(devices=[3, 1]).devices == ("gpu:3", "gpu:1")
    assert hardware.choose(devices=1).strategy == "one_device"
    several = {"tensorflow": "mirrored", "jax": "data_parallel"}
    if keras.backend.backend() in several:
        assert hardware.choose("cpu", devices=2).strategy == several[keras.backend.backend()]


@pytest.mark.parametrize(
    ("kind", "capability", "expected"),
    [
        ("tpu", None, "mixed_bfloat16"),
        ("cpu", None, "float32"),
        ("gpu", (9, 0), "mixed_bfloat16"),
        ("gpu", (7, 5), "mixed_float16"),
        ("gpu", (6, 1), "float32"),
        ("gpu", None, "float32"),
    ],
)
def test_the_precision_is_what_the_device_computes_fast(there, kind, capability, expected):
    there(gpu=1, tpu=1, capability=capability)
    assert hardware.choose(kind).precision == expected
    assert hardware.choose(kind, precision="float32").precision == "float32"


def test_a_model_is_spread_over_some_of_the_devices(there, monkeypatch):
    there(gpu=4)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    choice = hardware.choose(model_parallel=2)
    assert (choice.strategy, choice.model_parallel, hardware.setup(model_parallel=2).replicas) == (
        "model_parallel",
        2,
        2,
    )
    assert_names(choice.table(), "spread over 2 devices")
    for told, named in ((3, "a divisor of the number of devices, 4"), (8, "a divisor of the number of devices, 4")):
        with pytest.raises(ValueError, match=named):
            hardware.choose(model_parallel=told)
    with pytest.raises(ValueError, match="1 unless JAX has several devices"):
        hardware.choose(devices=1, model_parallel=2)


def test_the_precisions_are_those_of_a_recipe():
    assert _precision.PRECISIONS == PRECISIONS


@TENSORFLOW
def test_the_workers_are_those_that_tf_config_names_the_chief_first(there, monkeypatch):
    told(monkeypatch, type="chief", index=0)
    choice = hardware.choose()
    assert (choice.strategy, choice.workers, choice.worker) == ("workers", 3, 0)
    told(monkeypatch, type="worker", index=1)
    assert hardware.choose().worker == 2
    assert_names(hardware.choose().table(), "each of 3 workers", "number 2")
    told(monkeypatch, {"worker": ["a:1", "b:1"]}, type="worker", index=0)
    assert hardware.choose().worker == 0
    told(monkeypatch, {})
    assert hardware.choose().workers == 1


@TENSORFLOW
@pytest.mark.parametrize(
    ("arguments", "task", "named"),
    [
        ({"accelerator": "npu"}, None, ("`accelerator`", "'cpu'", "accelerator='npu'")),
        ({"accelerator": "tpu"}, None, ("`accelerator`", "sees: 1 cpu, 4 gpu", "accelerator='tpu'")),
        ({"precision": "half"}, None, ("`precision`", "'mixed_float16'", "precision='half'")),
        ({"devices": 5}, None, ("`devices`", "at most the 4", "devices=5")),
        ({"devices": 0}, None, ("`devices`", ">= 1", "devices=0")),
        ({"model_parallel": 2}, None, ("`model_parallel`", "1 unless JAX", "model_parallel=2", "KERAS_BACKEND=jax")),
        ({"model_parallel": 0}, None, ("`model_parallel`", ">= 1", "model_parallel=0")),
        ({"devices": [1, 1]}, None, ("`devices`", "different", "[1, 1]")),
        ({"accelerator": "cpu", "devices": 2}, {"type": "chief"}, ("`devices`", "1 CPU", "devices=2")),
        ({}, {"type": "ps", "index": 0}, ("`TF_CONFIG`", "chief or a worker", "ps")),
        ({}, {"type": "worker", "index": 2}, ("`TF_CONFIG`", "cluster of 3")),
    ],
)
def test_what_is_not_there_or_unclear_is_refused(there, monkeypatch, arguments, task, named):
    there(gpu=4)
    if task:
        told(monkeypatch, **task)
    with pytest.raises(ValueError, match="Received") as caught:
        hardware.choose(**arguments)
    assert_names(caught.value, *named)


@TENSORFLOW
def test_a_tf_config_that_cannot_be_read_is_named(there, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{worker")
    with pytest.raises(ValueError, match="`TF_CONFIG` must be a JSON object"):
        hardware.choose()
