"""Finding at the start what the user's callbacks would fail with hours in."""

import logging
from collections.abc import Sequence

import keras

from kertl._checks import complain
from kertl.callbacks import forgets
from kertl.data import ImageData
from kertl.errors import RunError
from kertl.recipe import Recipe
from kertl.runner._journal import Snapshot
from kertl.tasks import task_named

_logger = logging.getLogger(__name__)

_SET_THE_RATE = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback], data: ImageData, recipe: Recipe) -> None:
    """Find callbacks that cannot work in the stages of a recipe.

    Raises:
        ValueError: If something is no callback, sets the rate of a stage that has a schedule, or watches a figure that
            there will not be.
    """
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise complain("callbacks", "a list of Keras callbacks", callback)
        if isinstance(callback, _SET_THE_RATE):
            _check_rate(callback, recipe)
        if forgets(callback):
            _logger.warning(
                "What %s remembers is lost if the run is broken off: it has no get_state() and set_state(state).",
                type(callback).__name__,
            )
    if all(type(callback).__module__.startswith("keras.") for callback in callbacks):  # others may add figures
        figures = _figures(data)
        for callback in callbacks:
            monitor = getattr(callback, "monitor", None)
            if monitor is not None and monitor not in figures:
                raise complain("monitor", f"one of {figures}", monitor, f"{type(callback).__name__} watches it.")


def check_same_callbacks(callbacks: Sequence[keras.callbacks.Callback], snapshot: Snapshot) -> None:
    """Find that a run is to go on with other callbacks than it had.

    Raises:
        RunError: If so.
    """
    _, *before = (name for name, _ in snapshot.callbacks)  # the first is the stage's own
    names = [type(callback).__name__ for callback in callbacks]
    if names != before:
        raise RunError(
            f"`callbacks` must be those that the run in `run_dir` began with, since they go on too: {before}. "
            f"Received: {names}. Pass those, or choose another directory."
        )


def _check_rate(callback: keras.callbacks.Callback, recipe: Recipe) -> None:
    name = type(callback).__name__
    for place, stage in enumerate(recipe.stages):
        if stage.schedule != "constant":
            raise ValueError(
                f"`callbacks` must not set the learning rate of a stage that has a schedule. Received: {name}, and "
                f"schedule={stage.schedule!r} in stage {place + 1}. Take schedule='constant', or leave {name} out."
            )


def _figures(data: ImageData) -> list[str]:
    names = ["loss", *(metric.name for metric in task_named(data.task).metrics())]
    return [*names, *(f"val_{name}" for name in names if data.validation is not None), "learning_rate"]
