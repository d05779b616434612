"""Which cases of a test `make test` leaves to `make promises`."""

from collections.abc import Iterable

import pytest

PROMISED = (pytest.mark.promise, pytest.mark.slow)


def promised(*values):
    """A case of a test that guards a promise, and takes too long for `make test`."""
    return pytest.param(*values, marks=PROMISED)


def some_of(values: Iterable, *quick):
    """The cases of a test, of which `make test` takes the quick ones alone."""
    return [value if value in quick else promised(value) for value in values]
