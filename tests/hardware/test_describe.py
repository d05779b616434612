import json
import platform
from contextlib import nullcontext

import keras
import pytest

import kertl
from kertl import hardware
from kertl.hardware import _describe


def test_the_description_is_json_and_names_what_a_run_depends_on():
    described = json.loads(json.dumps(hardware.describe()))
    assert described["python"] == platform.python_version()
    assert described["backend"] == keras.backend.backend()
    assert described["cpus"] >= 1
    assert described["memory_gib"] > 0
    assert described["processor"]
    assert described["devices"]
    assert described["packages"]["keras"] == keras.__version__


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(_describe, "_PACKAGES", ("keras", "no-such-package-anywhere"))
    assert list(hardware.describe()["packages"]) == ["keras"]


def test_outside_of_a_strategy_there_is_one_replica_and_a_scope_that_does_nothing():
    assert hardware.replicas() == 1
    assert isinstance(hardware.scope_of(object()), nullcontext)
    with hardware.scope_of(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])):
        assert hardware.replicas() == 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute belongs to TensorFlow")
def test_a_model_is_trained_in_the_scope_that_it_was_built_in():
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert tf.distribute.get_strategy() is not strategy
    with hardware.scope_of(model):
        assert tf.distribute.get_strategy() is strategy


def test_batch_norm_is_synchronised_only_where_there_are_replicas(monkeypatch):
    for count, expected in ((1, False), (2, True)):
        monkeypatch.setattr("kertl.model._head.replicas", lambda count=count: count)
        inputs = keras.Input((4,))
        task = kertl.tasks.task_named("single_label")
        output = kertl.model.head_answers(kertl.Head(hidden_units=(4,)), inputs, 2, task)
        layer = keras.Model(inputs, output).get_layer("head_batch_norm_1")
        assert layer.synchronized is expected
