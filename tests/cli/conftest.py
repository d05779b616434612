import logging

import pytest


@pytest.fixture(autouse=True)
def logging_as_before():
    """A command sets up logging for its process; here the process goes on with other tests."""
    root, ours = logging.getLogger(), logging.getLogger("kertl")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
