"""A run that goes on with other cores, versions or devices says so, and keeps what it began with."""

import json

import keras
import pytest

import kertl
from kertl.hardware import _describe
from kertl.runner._environment import differences
from tests.messages import assert_names
from tests.runs import python, quick, recipe, squares, tiny

PLAN = recipe(quick("deep", epochs=2))


class Kill(keras.callbacks.Callback):
    """Stops the run after so many batches, as Ctrl-C does; 0 never does."""

    def __init__(self, after):
        super().__init__()
        self._left = after

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt

    def get_state(self):
        return None


def go(folder, after=0):
    options = {"recipe": PLAN, "run_dir": folder, "checkpoint_seconds": 0, "report": False, "verbose": 0}
    return kertl.fine_tune(tiny(), squares(), callbacks=[Kill(after)], **options)


@pytest.fixture
def begun(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path, after=2)
    return tmp_path


def said(caplog):
    return [one.getMessage() for one in caplog.records if "another environment" in one.getMessage()]


def test_other_cores_and_versions_are_named_and_the_first_record_is_kept(begun, caplog, monkeypatch):
    first = (begun / "environment.json").read_text()
    cores = json.loads(first)["cpus"]
    monkeypatch.setattr(_describe, "cores", lambda: cores + 3)
    monkeypatch.setattr(_describe, "_version", lambda name: "0.1" if name == "numpy" else None)
    go(begun)
    (message,) = said(caplog)
    assert_names(message, str(begun), f"cpus {cores}, now {cores + 3}", "now 0.1", "bit for bit", "environment-1.json")
    assert_names(message, f"keras {keras.__version__}, now not installed")
    assert (begun / "environment-1.json").read_text() == first
    assert json.loads((begun / "environment.json").read_text())["cpus"] == cores + 3


def test_a_third_environment_does_not_replace_the_first(begun, monkeypatch):
    first = (begun / "environment.json").read_text()
    for cores in (101, 102):
        monkeypatch.setattr(_describe, "cores", lambda cores=cores: cores)
        with pytest.raises(KeyboardInterrupt):
            go(begun, after=1)
    assert (begun / "environment-1.json").read_text() == first
    assert json.loads((begun / "environment-2.json").read_text())["cpus"] == 101


def test_the_same_environment_is_not_spoken_of(begun, caplog):
    go(begun)
    assert not said(caplog)
    assert not list(begun.glob("environment-*"))


def test_a_record_that_cannot_be_read_is_kept_and_said(begun, caplog):
    (begun / "environment.json").write_text("{")
    go(begun)
    (message,) = said(caplog)
    assert_names(message, "what it began with cannot be read")
    assert (begun / "environment-1.json").read_text() == "{"


def test_what_a_record_of_an_earlier_version_lacks_is_no_difference():
    now = {**kertl.hardware.describe(), "replicas": 1, "workers": 1}
    before = {name: value for name, value in now.items() if name not in ("replicas", "workers")}
    assert list(differences(before, now)) == []
    assert list(differences({**before, "devices": ["gpu:0", "gpu:1"]}, now)) == [
        f"devices gpu:0, gpu:1, now {', '.join(now['devices'])}"
    ]


@pytest.mark.slow
def test_a_checkpoint_of_one_device_goes_on_on_two_in_so_many_words(begun):
    python(
        f"""
        import tensorflow as tf
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        import kertl, logging
        from pathlib import Path
        from tests.messages import assert_names
        from tests.runner.test_environment import PLAN, Kill, squares, tiny
        said = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        logging.getLogger("kertl").addHandler(handler)
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            model = tiny()
        run = kertl.fine_tune(
            model, squares(), callbacks=[Kill(0)], recipe=PLAN, run_dir=Path({str(begun)!r}), report=False, verbose=0
        )
        (message,) = [text for text in said if "another environment" in text]
        assert_names(message, "devices cpu:0, now cpu:0, cpu:1", "replicas 1, now 2")
        assert len(run.rows) == 2
        """
    )
