"""Saving the state of a stage while it trains, and restoring it, to the last bit."""

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl.callbacks import get_state, set_state
from kertl.errors import RunError
from kertl.runner._journal import Journal, Position, Snapshot


class Checkpoints(keras.callbacks.Callback):
    """Writes checkpoints during the `fit` of a stage, and restores a snapshot at the beginning of `fit`.

    It must be the last of the callbacks, so that it sees, and sets, what the others have done.

    Args:
        stage: Which stage.
        variables: Those of the whole model, of which the stage trains a part.
        callbacks: The callbacks whose state belongs to the run.
        journal: Where to write.
        batches: Batches in an epoch.
        snapshot: Where to resume; None begins the stage.
    """

    def __init__(
        self,
        stage: int,
        variables: Sequence[Any],
        callbacks: Sequence[keras.callbacks.Callback],
        journal: Journal,
        batches: int,
        snapshot: Snapshot | None,
    ) -> None:
        super().__init__()
        self._stage, self._whole, self._callbacks, self._batches = stage, variables, callbacks, batches
        self._journal, self._snapshot = journal, snapshot
        self._batch = 0
        self._in_rest = self._diverged = False
        self._metrics: list[np.ndarray] = []

    @property
    def position(self) -> Position | None:
        """Where the next `fit` resumes; None if it begins the stage, or if training diverged."""
        return self._snapshot.position if self._snapshot else None

    @property
    def first_batch(self) -> int:
        """The batch that it must begin with: the last one that was done, after which everything is restored.

        Before a batch the metrics have no variables yet, and after the last one there would be no batch to begin with.
        """
        return max(self.position.batch - 1, 0) if self.position else 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the snapshot if it is between two epochs; write one if the stage begins."""
        self._journal.stop.waits = True
        self._in_rest = self.position is not None and self.position.batch > 0
        if self.position is None:
            self._write()
        elif not self._in_rest:
            self._take_up()
        self._leave_if_asked()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the batches from the one that `fit` begins with."""
        self._batch = self.first_batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint if it is time, or time to stop."""
        self._batch += 1
        if self.position is not None:
            self._take_up()
        self._diverged = not math.isfinite((logs or {}).get("loss", 0.0))
        if self._batch == self._batches and self._journal.team.size == 1:
            self.sync()
            self._metrics = _values(self.model.metrics_variables)
        if not self._diverged and (self._journal.due(epoch_ends=False) or self._journal.stop.asked):
            self._write()
        self._leave_if_asked()

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Do not let validation delay a stop: the epoch's training is done, and is written."""
        if self._journal.stop.asked:
            if self._metrics and not self._diverged:
                self._write(metrics=self._metrics)
            self._leave_if_asked()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a checkpoint if possible."""
        self._batch, self._metrics = 0, []
        if self._diverged:
            return
        if self._in_rest:  # the next `fit` resumes from here
            self._snapshot = self._take()
        if self._journal.due(epoch_ends=True) or self._journal.stop.asked:
            self._write()
        self._leave_if_asked()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """From here on a signal need not wait."""
        self._journal.stop.waits = False

    def sync(self) -> None:
        """Update the variables if the backend keeps them elsewhere during `fit`."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()

    def _leave_if_asked(self) -> None:
        if self._journal.stop.asked:
            self._journal.stop.leave()

    def _variables(self) -> list[Any]:
        """Each variable once; in mid-epoch with those of the metrics, which come last."""
        metrics = self.model.metrics_variables
        groups = (self._whole, self.model.variables, self.model.optimizer.variables)
        found = {id(variable): variable for group in groups for variable in group}
        for variable in metrics:
            found.pop(id(variable), None)
        return [*found.values(), *(metrics if self._batch else ())]

    def _take(self, metrics: Sequence[np.ndarray] | None = None) -> Snapshot:
        self.sync()
        values = _values(self._variables())
        if metrics is not None:
            values[len(values) - len(metrics) :] = metrics
        position = Position(self._stage, len(self._journal.rows), self._batch, bool(self.model.stop_training))
        states = [(type(callback).__name__, get_state(callback)) for callback in self._callbacks]
        return Snapshot(position, list(self._journal.rows), values, states, dict(self._journal.choices))

    def _write(self, metrics: Sequence[np.ndarray] | None = None) -> None:
        if self._batch and self._journal.team.size > 1:
            return  # the metrics of several workers can only be read by all of them together
        begun = time.monotonic()
        self._journal.write(self._take(metrics), begun)

    def _take_up(self) -> None:
        """Restore the model, its optimizer and the callbacks from the snapshot."""
        snapshot, self._snapshot = self._snapshot, None
        if snapshot is None:
            return
        self.sync()
        variables = self._variables()
        _check_shapes(variables, snapshot.variables)
        for variable, value in zip(variables, snapshot.variables, strict=True):
            variable.assign(value)
        for callback, (_, state) in zip(self._callbacks, snapshot.callbacks, strict=True):
            if state is not None:
                set_state(callback, state)


def _check_shapes(variables: Sequence[Any], values: Sequence[np.ndarray]) -> None:
    now, before = [tuple(variable.shape) for variable in variables], [value.shape for value in values]
    if now != before:
        first = next((pair for pair in zip(before, now, strict=False) if pair[0] != pair[1]), "none")
        raise RunError(
            f"`model` must have the variables of the checkpoint, {len(before)} with the optimizer's. Received: "
            f"{len(now)}; the first shapes that differ: {first}. Choose another directory.",
            code="run-differs",
        )


def _values(variables: Sequence[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
