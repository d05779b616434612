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
