"""`kertl.callbacks.Profiler`: what it records, read back and said in words."""

import time

import keras
import numpy as np
import pytest

import kertl
from kertl.callbacks import Profiler
from kertl.diagnosis import read_profile
from tests.events.written import values_of
from tests.messages import assert_names
from tests.runs import python, quick, recipe, squares, tiny

X = np.random.default_rng(0).normal(size=(128, 16, 16, 3)).astype("float32")
Y = np.arange(128) % 3


class Batches(keras.utils.PyDataset):
    """Sixteen batches, each of which takes a while."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def __len__(self):
        return 16

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return X[index * 8 : index * 8 + 8], Y[index * 8 : index * 8 + 8]


def fitted(folder, seconds=0.0, filters=8, steps=(3, 12)):
    layers = [
        keras.layers.Conv2D(filters, 3, name="wide"),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.Dense(3, "softmax"),
    ]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(Batches(seconds), callbacks=[Profiler(folder, steps=steps)], verbose=0)
    return read_profile(folder)


def test_a_slow_input_is_told_from_slow_computing(tmp_path):
    waiting, computing = fitted(tmp_path / "a", seconds=0.05), fitted(tmp_path / "b", filters=512)
    assert waiting.steps == computing.steps == 10
    assert waiting.input_share > 0.6
    assert waiting.step_milliseconds > 45
    assert computing.compute_share > 0.4
    assert computing.input_share < waiting.input_share / 2
    for one in (waiting, computing):
        assert 0 <= one.other_share <= 1
        assert one.input_share + one.compute_share + one.other_share == pytest.approx(1)
    assert "Make the input quicker" in waiting.sentence
    assert "Make the input quicker" not in computing.sentence
    assert kertl.diagnosis.Profile.from_json(computing.to_json()) == computing
    assert max(map(len, computing.table().splitlines())) <= 80
    if keras.backend.backend() == "tensorflow":
        assert "wide" in computing.slowest[0].name
    lengths = [one.milliseconds for one in computing.slowest]
    assert lengths == sorted(lengths, reverse=True)


def test_a_run_writes_the_profile_of_each_stage_and_says_what_it_saw(tmp_path, caplog):
    caplog.set_level("INFO", "kertl")
    stages = recipe(quick("deep", epochs=2), quick("mid", epochs=2))
    kertl.fine_tune(tiny(), squares(), recipe=stages, run_dir=tmp_path / "run", profile=(2, 3), report=False, verbose=0)
    told = [one for one in caplog.messages if one.startswith("Profile of steps 2 to 3")]
    assert len(told) == 2
    assert_names(told[0], "waiting for input", "computing")
    assert read_profile(tmp_path / "run").steps == 2
    assert [one.tag for _, one in values_of(tmp_path / "run/tensorboard/train")].count("profile") == 2


def test_fewer_steps_than_asked_for_are_said(tmp_path, caplog):
    with pytest.raises(ValueError, match="`source` must be a folder with a profile"):
        fitted(tmp_path, steps=(50, 60))
    assert_names(caplog.text, "Nothing was profiled", 16, 50)
    assert fitted(tmp_path, steps=(10, 60)).steps == 7


def test_a_window_may_hold_numbers_of_numpy(tmp_path):
    assert Profiler(tmp_path, steps=np.array([2, 5])).steps == (2, 5)
    assert Profiler(tmp_path, steps=(np.int64(2), 5)).steps == (2, 5)


@pytest.mark.parametrize("steps", [(1, 5), (5, 4), (2,), "10:20", (2.0, 3), (True, 3)])
def test_wrong_windows_are_refused(tmp_path, steps):
    with pytest.raises(ValueError, match="must be the first and the last step to record"):
        Profiler(tmp_path, steps=steps)
    with pytest.raises(ValueError, match="`profile` must be the first and the last step"):
        kertl.fine_tune(tiny(), squares(), profile=steps, run_dir=tmp_path / "run")


def test_a_profile_without_a_run_directory_is_refused():
    with pytest.raises(ValueError, match="`profile` must be given with `run_dir`"):
        kertl.fine_tune(tiny(), squares(), profile=(2, 3))


def test_what_is_no_trace_is_named(tmp_path):
    file = tmp_path / "a.xplane.pb"
    file.write_bytes(b"no trace at all")
    with pytest.raises(ValueError, match=r"`source` must be a trace that a profiler wrote"):
        read_profile(file)
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="must be a profile of steps that kertl"):
        read_profile(file)


@pytest.mark.slow
def test_on_jax_the_same_is_seen(tmp_path):
    python(
        f"""
        from pathlib import Path
        from tests.callbacks import test_profiler as tests
        tests.test_a_slow_input_is_told_from_slow_computing(Path({str(tmp_path)!r}))
        """,
        KERAS_BACKEND="jax",
    )
