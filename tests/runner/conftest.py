import signal

import pytest


@pytest.fixture(autouse=True)
def _listens():
    """Ctrl-C is listened to, also where the tests run in the background, whose processes ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
