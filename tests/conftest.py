"""What holds for all tests."""

import logging

import keras
import pytest
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from rich.logging import RichHandler

import kertl
from kertl._terminal import traced_quietly
from kertl.data import _known
from kertl.runner import _fine_tune

# Reports have tests of their own; thousands of other runs would take seconds longer for them.
_fine_tune.reported_for_real, _fine_tune._reported = _fine_tune._reported, lambda run: None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup():
    """Let random weights be the same whichever tests have run before, also those that fixtures draw."""
    keras.utils.set_random_seed(0)


# Before pytest collects the examples in docstrings: it would import a second time what nobody has imported.
for _name in kertl.__all__:
    getattr(kertl, _name)


@pytest.fixture(autouse=True, scope="session")
def _no_word_of_retracing():
    """Keep TensorFlow from counting, over all tests of a process, how often functions are traced.

    Its warning comes in whichever test reaches the count, and stands among the messages that this test looks at.
    """

    with traced_quietly():
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_tuning_of_buffers():
    """Keep TensorFlow from tuning the buffers of datasets while they are read.

    Whoever frees the iterator of an interrupted `fit`, mostly the garbage collector in the midst of another test, may
    have to wait for up to a minute until the thread that tunes them wakes up.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    whole = PyDatasetAdapter.get_tf_dataset

    def get_tf_dataset(self):
        options = tf.data.Options()
        options.autotune.enabled = False
        return whole(self).with_options(options)

    PyDatasetAdapter.get_tf_dataset = get_tf_dataset
    yield
    PyDatasetAdapter.get_tf_dataset = whole


@pytest.fixture(autouse=True, scope="session")
def _no_files_known_from_elsewhere(tmp_path_factory):
    """What earlier sessions have found of files does not count in this one, and nothing is left behind."""
    folder = tmp_path_factory.mktemp("known")
    _known.cache_folder = lambda: folder


_LEVELS = {name: logging.getLogger(name).level for name in (None, "kertl")}


@pytest.fixture(autouse=True)
def _logging_as_at_the_start():
    """A command sets up logging for its process; here the process goes on with other tests.

    It may run in a fixture of a module, before this one does, so the levels are those of the start.
    """
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    handlers = [one for one in logging.getLogger().handlers if not isinstance(one, RichHandler)]
    yield
    logging.getLogger().handlers[:] = handlers


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """An empty bucket in memory, at memory://, and kertl's cache folder in a folder of the test."""
    monkeypatch.setenv("KERTL_CACHE", str(tmp_path / "cache"))
    files = pytest.importorskip("fsspec").filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()
