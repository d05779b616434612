"""Which cases of a test `make test` leaves to `make promises`."""

from collections.abc import Iterable

import pytest

PROMISED = (pytest.mark.promise, pytest.mark.slow)


def promised(*values):
    """A case of a test that guards a promise, and takes too long for `make test`."""
    return pytest.param(*values, marks=PROMISED)


def some_of(values: Iterable, *quick, late=()):
    """The cases of a test: `make test` takes the quick ones alone, and `make test-all` alone those that are late."""
    marks = {value: [pytest.mark.slow] if value in late else PROMISED for value in values}
    return [value if value in quick else pytest.param(value, marks=marks[value]) for value in values]
