"""What is written while a run trains: its progress, and when to write."""

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._terminal import counted
from kertl.errors import RunError
from kertl.runner._agreement import agreed
from kertl.runner._directory import RunDirectory
from kertl.runner._signals import Stop

_logger = logging.getLogger(__name__)

_SHARE = 0.03


@dataclasses.dataclass(frozen=True)
class Position:
    """How far a run is."""

    stage: int
    """The stage, counted from 0."""
    epoch: int
    """Epochs that are finished, through all stages."""
    batch: int = 0
    """Batches of the epoch after these that are done."""
    stopped: bool = False
    """Whether the stage has stopped before its last epoch."""

    def __str__(self) -> str:
        batches = f", {self.batch} batches of the next" if self.batch else ""
        return f"stage {self.stage + 1}, {counted(self.epoch, 'epoch')} of the run done{batches}"


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Everything that the rest of a run depends on, as values."""

    position: Position
    rows: Sequence[dict[str, Any]]
    """The metrics of the epochs so far."""
    variables: Sequence[np.ndarray]
    """All variables: weights, moments, step count, random generators, metrics."""
    callbacks: Sequence[tuple[str, Any]]
    """Class and state of each callback."""
    choices: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What was chosen for the stages so far."""

    def give_weights(self, model: keras.Model) -> None:
        """Restore the variables of the whole model; the trainer restores the rest."""
        for variable, value in zip(model.variables, self.variables, strict=False):
            variable.assign(value)

    def to_values(self) -> dict[str, Any]:
        """As what `CheckpointFiles` writes."""
        return {**vars(self), "position": vars(self.position)}

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> "Snapshot":
        """From what `CheckpointFiles` read.

        Raises:
            RunError: If it is something else.
        """
        try:
            return cls(**{**values, "position": Position(**values["position"])})
        except (TypeError, KeyError) as error:
            raise RunError(
                f"A checkpoint must hold what this version of kertl writes. Received: {error}. Resume with the version "
                f"that began the run, or remove the directory to begin again.",
                code="damaged",
            ) from error


class Journal:
    """The metrics of the epochs, and checkpoints at the requested intervals.

    Args:
        directory: Where to write.
        snapshot: Where to resume; None begins the run.
        stop: Whether to stop.
        every: Seconds between two checkpoints in mid-epoch. Writing takes at most 3 % of the time, so checkpoints may
            be further apart, those at the ends of epochs too; 0 writes after each batch, however long it takes.
    """

    def __init__(self, directory: RunDirectory, snapshot: Snapshot | None, stop: Stop, every: float) -> None:
        self.rows = list(snapshot.rows) if snapshot else []
        self.stop = stop
        self.files = directory.checkpoints
        # The checkpoint has them too, so that nothing is chosen anew where the file is gone.
        found = directory.read_choices()
        told = snapshot.choices if snapshot else {}
        self.choices = {name: {**told.get(name, {}), **found.get(name, {})} for name in {**told, **found}}
        if self.choices != found:
            directory.write_choices(self.choices)
        self._directory, self._every, self._resumes = directory, every, snapshot is not None
        self.team = directory.team
        self.position = snapshot.position if snapshot else None
        """Where the last checkpoint is."""
        self._held: Snapshot | None = None
        self._begun = self._last = time.monotonic()
        self._spent = self._longest = 0.0

    @property
    def features_dir(self) -> Path | None:
        """Where features are cached."""
        return self._directory.features

    def start_weights(self, model: keras.Model) -> list[np.ndarray]:
        """The weights that the run began with; to be read before a resumed run restores its state."""
        return self._directory.start_weights(model, resumes=self._resumes)

    def choose(self, stage: int | str, choice: dict[str, Any]) -> None:
        """Write what is chosen for a stage, or under another name; with several workers, what the chief chose."""
        self.choices[str(stage)] = agreed(self.team, lambda: choice)
        self._directory.write_choices(self.choices)
        self._directory.upload()

    def add(self, row: dict[str, Any]) -> None:
        """Write the metrics of an epoch."""
        self.rows.append(row)
        self._directory.write_history(self.rows)

    def hint(self) -> str:
        """What there is to resume from, in a sentence."""
        return self.files.hint() if self.files else "No `run_dir` was given, so nothing was written."

    def write_model(self, model: keras.Model) -> None:
        """Write the model as it is now."""
        self._directory.write_model(model)

    def due(self, *, epoch_ends: bool) -> bool:
        """Whether it is time for a checkpoint; workers, whose clocks differ, write at the ends of all epochs."""
        if self.team.size > 1:
            return epoch_ends
        now = time.monotonic()
        affordable = self._spent + self._longest <= _SHARE * (now - self._begun)
        return self._every == 0 or (affordable and (epoch_ends or now - self._last >= self._every))

    def write(self, snapshot: Snapshot, begun: float) -> None:
        """Write a checkpoint that was begun at `begun`, by `time.monotonic`; without a directory it stays in memory."""
        self.position = snapshot.position
        if self.files is not None:
            path = self.files.write(snapshot.to_values())
            self._directory.upload()
            _logger.debug("Wrote checkpoint %s: %d bytes.", path.name, path.stat().st_size)
        elif self.team.size == 1:
            self._held = snapshot
        self._last = time.monotonic()
        took = self._last - begun
        self._spent += took
        self._longest = max(self._longest, took)

    def go_back(self, stage: int) -> Snapshot | None:
        """The last checkpoint of a stage, to which the rows so far return; None for its beginning if there is none."""
        values = self.files.read() if self.files is not None else None
        snapshot = self._held if values is None else Snapshot.from_values(values)
        if snapshot is not None and snapshot.position.stage != stage:
            snapshot = None
        self.position = None if snapshot is None else snapshot.position
        self.rows = [row for row in self.rows if row["stage"] < stage] if snapshot is None else list(snapshot.rows)
        self._directory.write_history(self.rows)
        return snapshot
