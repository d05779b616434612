"""Checks that callbacks can be part of a run and resume with it."""

import logging
from collections.abc import Sequence

import keras

from kertl._checks import each
from kertl.callbacks import forgets
from kertl.errors import RunError
from kertl.runner._journal import Snapshot

_logger = logging.getLogger(__name__)


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> list[keras.callbacks.Callback]:
    """The callbacks as a list; those whose state an interrupted run would lose are named.

    Raises:
        ValueError: If something is not a callback.
    """
    found = each("callbacks", callbacks, keras.callbacks.Callback, "a list of Keras callbacks")
    for callback in found:
        if forgets(callback):
            _logger.warning(
                "The state of %s is lost if the run is interrupted: it has no get_state() and set_state(state).",
                type(callback).__name__,
            )
    return found


def check_same_callbacks(callbacks: Sequence[keras.callbacks.Callback], snapshot: Snapshot, own: int) -> None:
    """Reject resuming a run with other callbacks than it had.

    Args:
        callbacks: Those that are given now.
        snapshot: What the run resumes from.
        own: How many callbacks in it, the first ones, are the run's own.

    Raises:
        RunError: If so.
    """
    before = [name for name, _ in snapshot.callbacks[own:]]
    names = [type(callback).__name__ for callback in callbacks]
    if names != before:
        raise RunError(
            f"`callbacks` must be those that the run in `run_dir` began with, since they resume too: {before}. "
            f"Received: {names}. Pass those, or choose another directory.",
            code="run-differs",
        )
