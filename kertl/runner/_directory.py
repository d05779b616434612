"""The run directory: everything needed to trust and to repeat a run."""

import csv
import io
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl import _checks
from kertl._domains import SOURCE_FILE, SourceFeatures
from kertl._places import as_given, is_address
from kertl.data import ImageData
from kertl.errors import RunError
from kertl.hardware import Team
from kertl.model import architecture, save
from kertl.recipe import Recipe
from kertl.run_files import (
    MODEL_FILE,
    SUMS,
    RemoteCopy,
    locked,
    read_arrays,
    read_json,
    read_text,
    replace_file,
    sha256_of,
    sha256_of_arrays,
    write_json,
    write_text,
)
from kertl.runner._agreement import agreed
from kertl.runner._checkpoint_files import CheckpointFiles
from kertl.runner._description import batches_text, description, refuse_another_run
from kertl.runner._environment import note_environment

_logger = logging.getLogger(__name__)

HISTORY, METRICS, CHOICES, START = "history.csv", "metrics.json", "choices.json", "start.npz"
_LARGEST_METRICS = 16 * 2**20
RESULTS = (HISTORY, METRICS, MODEL_FILE)
_AGAIN = "Remove it; the same call then resumes from the last checkpoint and writes it again."
_KEPT = "Remove it; the same `fine_tune(..., keep_features=True)` then writes it again."
_CHOSEN = (
    "what was chosen for each stage, as JSON",
    "Remove it; the same call then takes what the last checkpoint says, or chooses again if there is none.",
)
_RESTORE = "Restore it, or remove the directory to begin again."


class RunDirectory:
    """Writes the files of a run, each replaced as a whole; without a path it writes nothing.

    Args:
        path: The directory, made if there is none, or its address for fsspec, of which a copy is made on this machine;
            None for a run that leaves no files.
        cache_dir: Where features are cached; None for a folder of the directory.
        team: The processes of the run. Only the chief reads and writes, and the others are told what it read.
    """

    def __init__(self, path: str | Path | None, cache_dir: str | Path | None = None, team: Team | None = None) -> None:
        self.team = team or Team()
        mine = self.team.chief
        self._remote = RemoteCopy(str(path)) if mine and is_address(path) else None
        given = None if path is None or self._remote else _checks.path("run_dir", path)
        folder = _checks.check_cache_dir(cache_dir)
        self.path = self._remote.local if self._remote else given if mine else None
        self._cache_dir = folder if mine else None
        self.checkpoints = None if self.path is None else CheckpointFiles(self.path / "checkpoints")

    @property
    def named(self) -> str:
        """What messages call it."""
        return "The run directory" if self.path is None else as_given(self.path)

    @property
    def tensorboard(self) -> Path | None:
        """Where TensorBoard's events go."""
        return None if self.path is None else self.path / "tensorboard"

    @property
    def finished(self) -> bool:
        """Whether it holds a finished run."""
        return agreed(self.team, self._finished)

    def _finished(self) -> bool:
        return self.path is not None and all((self.path / name).is_file() for name in (*RESULTS, SUMS))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Lock the directory for this process; the copy of one elsewhere is fetched first, and uploaded in the end.

        Raises:
            RunError: If another process uses it, or it cannot be made or written to.
        """
        if self.path is None:
            yield
            return
        with locked(self.path):
            if self._remote is not None:
                self._remote.fetch()
                _logger.info("The copy of %s on this machine is %s.", self._remote.address, self.path)
            try:
                yield
            except BaseException:
                self.upload(everything=True)
                raise
            self.upload(everything=True, must=True)

    def upload(self, *, everything: bool = False, must: bool = False) -> None:
        """Upload what has changed, if the directory is elsewhere; where that fails, say so and go on with the copy.

        Args:
            everything: Whether TensorBoard's events are uploaded too.
            must: Whether a failure is an error.

        Raises:
            RunError: If it fails and must not.
        """
        if self._remote is None:
            return
        try:
            self._remote.push(everything=everything)
        except RunError as error:
            if must:
                raise
            _logger.warning("%s The run goes on, and uploads later.", error)

    @property
    def features(self) -> Path | None:
        """Where features are cached; None with several workers, each of which has them in memory."""
        if self.team.size > 1:
            return None
        return self._cache_dir or (None if self.path is None else self.path / "features")

    def hint(self) -> str:
        """What there is to resume from, in a sentence."""
        return self.checkpoints.hint() if self.checkpoints else "The chief knows what there is to resume from."

    def check_alike(self, recipe: Recipe, data: ImageData, model: keras.Model) -> None:
        """Raise unless all workers were given the same recipe, images and model.

        Raises:
            RunError: In all of them, if not.
        """
        if self.team.size == 1:
            return
        self.team.check_alike("recipe", recipe.to_json().encode())
        self.team.check_alike(
            "images, in the same split", (data.csv_text() + batches_text(data)).encode("utf-8", "replace")
        )
        self.team.check_alike("model", (architecture(model) + sha256_of_arrays(model.get_weights())).encode())

    def refuse_other(self, recipe: Recipe, data: ImageData, model: keras.Model) -> dict[str, str]:
        """The description of the run, as the text of each of its files; the directory must not belong to another run.

        Raises:
            RunError: If it holds a run of another recipe, of other data, or of another model; the difference is shown.
                If there is something to resume or to read, and one of these files is missing.
        """
        if self.path is None or self.checkpoints is None:
            return {}
        begun = self._finished() or bool(self.checkpoints.paths())
        now = description(recipe, data, model)
        refuse_another_run(self.path, now, begun, _RESTORE)
        return now

    def begin(self, recipe: Recipe, data: ImageData, model: keras.Model) -> Any:
        """Write the description of the run; returns the last checkpoint of an unfinished one, or None.

        Raises:
            RunError: If the directory is another run's, its checkpoints cannot be used, or there is no space.
        """
        return agreed(self.team, lambda: self._begin(recipe, data, model))

    def _begin(self, recipe: Recipe, data: ImageData, model: keras.Model) -> Any:
        if self.path is None or self.checkpoints is None:
            return None
        now = self.refuse_other(recipe, data, model)
        last = self.checkpoints.read()
        there = [name for name in (HISTORY, METRICS) if (self.path / name).exists()]
        if last is None and there:
            raise RunError(
                f"`run_dir` must be a new directory, or have a checkpoint to resume from. Received: "
                f"run_dir={self.named!r}, with a {there[0]} and no checkpoint. Restore its checkpoints/, or "
                f"remove the directory to begin again.",
                code="run-directory",
            )
        self._check_space(model)
        for name, text in now.items():
            write_text(self.path / name, text)
        images = None if data.root is None else str(data.root)
        note_environment(self.path, workers=self.team.size, images=images, resumes=last is not None)
        return last

    def _check_space(self, model: keras.Model) -> None:
        """The least space that a run takes: the model, and three checkpoints with three sets of weights each."""
        size = 4 * model.count_params()
        free = shutil.disk_usage(str(self.path)).free
        if free < 10 * size:
            raise RunError(
                f"`run_dir` must have at least {10 * size / 1e6:,.0f} MB of free space for checkpoints and the model. "
                f"Received: run_dir={str(self.path)!r}, with {free / 1e6:,.0f} MB. Make room, or choose another disk.",
                code="disk",
            )

    def start_weights(self, model: keras.Model, *, resumes: bool) -> list[np.ndarray]:
        """The weights that the run began with; a run that resumes has stored them.

        Raises:
            RunError: If the stored weights are missing, damaged, or of another model.
        """
        return agreed(self.team, lambda: self._start_weights(model, resumes))

    def _start_weights(self, model: keras.Model, resumes: bool) -> list[np.ndarray]:
        if self.path is None:
            return list(model.get_weights())
        file = self.path / START
        if not file.exists() and not resumes:
            kept = {str(place): value for place, value in enumerate(model.get_weights())}
            replace_file(file, lambda beside: np.savez(beside, **kept))
        with _readable(file, "the weights that the run began with", _RESTORE):
            arrays = read_arrays(file)
            found = [arrays[str(place)] for place in range(len(arrays))]
            shapes, own = [value.shape for value in found], [tuple(weight.shape) for weight in model.weights]
            if shapes != own:
                raise ValueError(f"{len(shapes)} arrays that are not the {len(own)} weights of the model")
            return found

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the epochs so far, a row each."""
        if self.path is None or not rows:
            return
        names = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path / HISTORY, text.getvalue())

    def read_history(self, recipe: Recipe) -> list[dict[str, Any]]:
        """The rows that `write_history` wrote in a run of `recipe`; numbers are numbers again."""
        if self.path is None:
            return []
        with _readable(self.path / HISTORY, "the epochs of a run", _AGAIN):
            table = csv.DictReader(io.StringIO(read_text(self.path / HISTORY), newline=""))
            rows = [{name: _value(name, text) for name, text in row.items()} for row in table]
            return [{**row, "at": recipe.stages[row["stage"]].at} for row in rows]

    def read_choices(self) -> dict[str, Any]:
        """What a run that resumes has chosen for each stage.

        Raises:
            RunError: If the file holds something else.
        """
        return agreed(self.team, self._read_choices)

    def _read_choices(self) -> dict[str, Any]:
        file = None if self.path is None else self.path / CHOICES
        if file is None or not file.exists():
            return {}
        with _readable(file, *_CHOSEN):
            choices = read_json(file)
            if not isinstance(choices, dict) or not all(isinstance(choice, dict) for choice in choices.values()):
                raise ValueError("JSON of another form")
            return choices

    def readable_choice(self, made: Callable[[], Any]) -> Any:
        """What `made` makes of what was read of the choices.

        Raises:
            RunError: If it cannot.
        """
        with _readable((self.path or Path()) / CHOICES, *_CHOSEN):
            return made()

    def begin_choices(
        self, choices: Mapping[str, Any] | None, recipe: Recipe, data: ImageData, model: keras.Model
    ) -> None:
        """Write what a recipe was chosen for, if it was chosen now; in the directory of another run nothing is written.

        Raises:
            RunError: As `refuse_other`.
        """
        if choices is not None:
            agreed(self.team, lambda: self.refuse_other(recipe, data, model))
            self.write_choices(choices)

    def write_choices(self, choices: Mapping[str, Any]) -> None:
        """Write what is chosen, before it is acted on."""
        if self.path is not None:
            write_json(self.path / CHOICES, choices)

    def write_model(self, model: keras.Model) -> None:
        """Save the model as it is now."""
        if self.path is not None:
            save(model, self.path / MODEL_FILE)

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write the metrics, and the checksums of what the run gives, which ends it."""
        if self.path is not None:
            write_json(self.path / METRICS, metrics)
            self._write_sums(self.path)

    def keep_source(self, model: keras.Model, data: ImageData, asked: bool) -> None:
        """Write the features of the training images, if asked, unless they are there; before the checksums.

        Of a finished run the checksums are written again.
        """
        if not asked or self.path is None or (self.path / SOURCE_FILE).exists():
            return
        SourceFeatures.of(model, data, cache_dir=self.features).save(self.path / SOURCE_FILE)
        if (self.path / SUMS).exists():
            self._write_sums(self.path)

    def _write_sums(self, folder: Path) -> None:
        names = [*RESULTS, *([SOURCE_FILE] if (folder / SOURCE_FILE).exists() else [])]
        write_text(folder / SUMS, "".join(f"{sha256_of(folder / name)}  {name}\n" for name in names))

    def read_metrics(self, outputs: int) -> dict[str, Any]:
        """The metrics of a finished run, whose model has so many outputs.

        Raises:
            RunError: If the file holds something else.
        """
        file = Path(str(self.path)) / METRICS
        with _readable(file, "the metrics of a run, as JSON", _AGAIN):
            # A number for each pair of classes, validation and test.
            return dict(read_json(file, _LARGEST_METRICS + 50 * outputs**2))

    def readable(self, name: str, what: str) -> AbstractContextManager[None]:
        """Name a file of the directory, and say what to do, if it cannot be read."""
        return _readable(Path(str(self.path)) / name, what, _RESTORE)

    def check_sums(self) -> None:
        """Check that what a finished run gave is as it was written.

        Raises:
            RunError: If a file has changed since.
        """
        folder = Path(str(self.path))
        with _readable(folder / SUMS, "the checksums of a finished run", _AGAIN):
            told = {
                name: digest for digest, name in (line.split("  ") for line in read_text(folder / SUMS).splitlines())
            }
            if told.keys() - {SOURCE_FILE} != set(RESULTS):
                raise ValueError(f"checksums of {sorted(told)}")
        for name, digest in told.items():
            kept = name == SOURCE_FILE
            if kept and not (folder / name).exists():
                continue  # nothing else needs it, and it can be written again
            with _readable(folder / name, "what the run wrote", _KEPT if kept else _AGAIN):
                if (found := sha256_of(folder / name)) != digest:
                    raise ValueError(f"a file with the SHA-256 {found}, which is not the one in {SUMS}")


@contextmanager
def _readable(file: Path, what: str, advice: str) -> Iterator[None]:
    """Name the file, and say what to do, if it cannot be read.

    Raises:
        RunError: If so.
    """
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RunError(f"{str(file)!r} must hold {what}. Received: {told}. {advice}", code="damaged") from error


def _value(name: str, text: str) -> Any:
    if name in ("stage", "epoch"):
        return int(text)
    return text if name == "at" else float(text or "nan")
