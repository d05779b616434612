"""What holds for all tests."""

import logging

import pytest


@pytest.fixture(autouse=True, scope="session")
def _no_word_of_retracing():
    """Keep TensorFlow from counting, over all tests of a process, how often functions are traced.

    Its warning comes in whichever test reaches the count, and stands among the messages that this test looks at.
    """

    def wanted(record):
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(wanted)
    yield
    logger.removeFilter(wanted)


@pytest.fixture(autouse=True)
def _logging_as_before():
    """A command sets up logging for its process; here the process goes on with other tests."""
    root, ours = logging.getLogger(), logging.getLogger("kertl")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
