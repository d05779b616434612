"""`tune`: a search from its first trial, or from where it was interrupted, to its best."""

import contextlib
import gc
import hashlib
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from kertl import _checks
from kertl._checks import complain, integer, one_of
from kertl._terminal import traced_quietly
from kertl.callbacks import TensorBoard
from kertl.data import ImageData
from kertl.errors import RunError
from kertl.run_files import read_json, write_json
from kertl.search._candidate import Candidate
from kertl.search._chief import announce
from kertl.search._confirm import confirm as confirm_best
from kertl.search._hypermodel import TransferHyperModel
from kertl.search._leases import lease
from kertl.search._live import watched
from kertl.search._oracles import FAILED_IN_A_ROW, STRATEGIES, oracle_for
from kertl.search._result import SETTINGS, SearchResult, read
from kertl.search._space import default_space
from kertl.search._tuner import SearchTuner
from kertl.tasks import task_named

_logger = logging.getLogger(__name__)

_OBJECTIVES = {
    "single_label": "val_accuracy",
    "binary": "val_accuracy",
    "multi_label": "val_auc",
}
_LOWER_IS_BETTER = ("loss", "mae", "rmse")


def tune(
    data: ImageData,
    *,
    backbones: Sequence[str | keras.Model],
    out: str | Path,
    strategy: str = "random",
    max_trials: int = 30,
    epochs: int = 10,
    objective: str | keras_tuner.Objective | None = None,
    folds: int | None = None,
    space: Callable[[Any, Sequence[str]], Candidate] = default_space,
    weights: str | Path | None = "imagenet",
    seed: int = 0,
    keep_checkpoints: int = 3,
    confirm: int = 3,
    cache_dir: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | bool = "auto",
) -> SearchResult:
    """Search for the choices that do best on the validation set; the test set is not used.

    A search that was interrupted, called again with the same arguments, resumes with the same trials; finished ones are
    not trained again. A trial that runs out of memory, diverges or raises is marked as failed, with the reason, and the
    search continues; ten in a row stop it. The same call in another folder makes the same trials.

    If KERASTUNER_TUNER_ID, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT are set, this is the chief of a search (an
    id with "chief" in it) or one of its workers, in processes of the same call and the same `out`. The port has no
    authentication: whoever reaches it can read and change the search, so any other address than 127.0.0.1 belongs
    behind a firewall. The trial of a worker that shows no sign of life for a minute goes to another. A chief that was
    killed and is started again goes on, with the same workers.

    Args:
        data: The images, with a validation set, or with `folds`.
        backbones: As in `kertl.search.TransferHyperModel`, as are `folds`, `space` and `weights`.
        out: The folder of the search: a folder per trial, search.json, leaderboard.json, recipe.json (the best's),
            trials.png, importance.png, features/ and tensorboard/ with HParams.
        strategy: "random"; "grid", every combination in order, with ten values for a range of numbers; "bayesian", a
            third of the trials at random and the others where a Gaussian process expects most; "hyperband", many short
            trainings, the best third of which continue three times as long, and so on, where each round is a trial.
        max_trials: The largest number of trials; >= 1. It may be raised when a search resumes.
        epochs: Epochs of the last stage of each trial, in "hyperband" of those that go through all rounds; >= 1.
        objective: A metric of the history by name ("val_accuracy", "val_loss", ...), or a `keras_tuner.Objective`; by
            default the accuracy on the validation set, for "multi_label" its AUC, for a regression its loss. Losses of
            different kinds or label smoothing cannot be compared.
        folds: As in `TransferHyperModel`; not with "hyperband".
        space: The search space.
        weights: Weights of the backbones given by name.
        seed: Seed of trials, heads, order, dropout and folds; 0 <= seed <= 4,000,000,000.
        keep_checkpoints: How many of the best trials keep their weights; >= 1.
        confirm: How many of the best trials are trained three times more, from other seeds, and then ranked by the mean
            of these, because the winner of many trials is often just the luckiest. 0 for none. If several processes
            search, a later call of one process does it.
        cache_dir: Where features are cached; features/ in `out` by default.
        callbacks: More callbacks for each trial, which gets copies of them.
        verbose: Whether to show a table of the trials on stderr, or a line for each if that is not a terminal; "auto"
            shows the table on a terminal and in a notebook.

    Raises:
        ValueError: If an argument is outside its range or an objective's direction is neither "min" nor "max".
        WeightsError: If the weights of a backbone are not available; all are loaded at the start.
        RunError: If `out` holds another search, or ten trials in a row have failed.

    Example:
        >>> import tempfile, keras, kertl, numpy as np
        >>> layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, strides=2, activation="relu")]
        >>> small = keras.Sequential([keras.Input((32, 32, 3)), *layers, keras.layers.Conv2D(4, 3, strides=2)])
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> def space(hp, backbones):
        ...     rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        ...     stage = kertl.Stage("deep", learning_rate=rate, augment="none")
        ...     return kertl.search.Candidate(backbones[0], kertl.Recipe(stages=[stage]), kertl.Head())
        >>> with tempfile.TemporaryDirectory() as out:
        ...     found = kertl.search.tune(
        ...         data, backbones=[small], space=space, max_trials=2, epochs=1, out=out
        ...     )
        ...     [stage.at for stage in found.recipe.stages], len(found.completed)
        (['deep'], 2)

    Reference:
        Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization", 2012. https://jmlr.org/papers/v13/
        Li et al., "Hyperband", 2018. https://arxiv.org/abs/1603.06560
    """
    one_of("strategy", strategy, STRATEGIES)
    integer("confirm", confirm, at_least=0)
    one_of("verbose", verbose, ("auto", True, False))
    for name, value in (("max_trials", max_trials), ("epochs", epochs), ("keep_checkpoints", keep_checkpoints)):
        integer(name, value, at_least=1)
    if folds is not None and strategy == "hyperband":
        raise complain("folds", "None with strategy='hyperband', whose rounds continue one training", folds)
    folder = _checks.path("out", out).absolute()
    kept = folder / "features" if cache_dir is None else cache_dir
    hypermodel = TransferHyperModel(
        backbones, data, space=space, weights=weights, folds=folds, seed=seed, cache_dir=kept
    )
    sought = _objective(objective, data.task)
    _same_search(
        folder,
        {
            "objective": sought.name,
            "direction": sought.direction,
            "strategy": strategy,
            "epochs": epochs,
            "folds": folds,
            "seed": seed,
            "backbones": list(hypermodel.backbones),
            "weights": hypermodel.digests,
            "space": _digest_of_space(hypermodel),
            "data": hashlib.sha256(data.csv_text().encode("utf-8", "surrogateescape")).hexdigest(),
        },
    )
    announce()
    oracle = oracle_for(strategy, sought, max_trials=max_trials, epochs=epochs, seed=seed, keep=keep_checkpoints)

    with contextlib.redirect_stdout(io.StringIO()):  # on which KerasTuner says that it reloads
        tuner = SearchTuner(oracle, hypermodel, folder)
    try:
        with (
            _few_words(),
            _quick_collections(),
            lease(folder, oracle),
            watched(folder, max_trials, verbose) as tuner.tell,
        ):
            tuner.search(epochs=epochs, callbacks=[*callbacks, TensorBoard(folder / "tensorboard")], verbose=0)
            if "KERASTUNER_TUNER_ID" not in os.environ:
                confirm_best(hypermodel, oracle, folder, confirm, epochs, tuner.tell)
    except KeyboardInterrupt:
        over = sum(trial.status != "RUNNING" for trial in read(folder).trials)
        _logger.warning("Stopped after %d trials. The same call resumes the search in %s.", over, folder)
        raise
    found = read(folder)
    if oracle.too_many_failed:
        reasons = dict.fromkeys(trial.reason for trial in found.trials if trial.name in oracle.too_many_failed)
        raise RunError(
            f"{FAILED_IN_A_ROW} trials in a row have failed, so the search in {str(folder)!r} has stopped: "
            f"{'; '.join(reasons)}. Called again, it continues with other trials.",
            code="search",
        )
    found.write()
    return found


def _objective(objective: Any, task: str) -> keras_tuner.Objective:
    """The objective, with a direction that KerasTuner understands."""
    if isinstance(objective, keras_tuner.Objective):
        if objective.direction not in ("min", "max"):
            accepted = "a metric by name, or a keras_tuner.Objective with direction 'min' or 'max'"
            raise complain("objective", accepted, str(objective))
        name, direction = objective.name, objective.direction
    else:
        name = _OBJECTIVES.get(task, "val_loss") if objective is None else objective
        direction = "min" if str(name).removeprefix("val_") in _LOWER_IS_BETTER else "max"
    metrics = ["loss", *(metric.name for metric in task_named(task).metrics())]
    one_of("objective", name, [*(f"val_{metric}" for metric in metrics), *metrics])
    return keras_tuner.Objective(name, direction)


def _digest_of_space(hypermodel: TransferHyperModel) -> str:
    """A digest of the hyperparameters, with their ranges, that the space registers where all have their defaults."""
    found = keras_tuner.HyperParameters()
    hypermodel.candidate(found)
    return hashlib.sha256(json.dumps(found.get_config()["space"], sort_keys=True, default=str).encode()).hexdigest()


def _same_search(folder: Path, settings: dict[str, Any]) -> None:
    """Write what is searched, or raise if the folder holds another search."""
    path = folder / SETTINGS
    try:
        before = read_json(path)
        if not isinstance(before, dict):
            raise ValueError("JSON of another form")
    except FileNotFoundError:
        write_json(path, settings)
        return
    except (OSError, ValueError) as error:
        raise RunError(
            f"{str(path)!r} is damaged ({error}). Remove it to resume the search there; the "
            "arguments are then not compared with those that it began with.",
            code="damaged",
        ) from error
    known = {"weights": settings["weights"], "space": settings["space"], **before}  # earlier versions do not say these
    other = [
        f"{name}: {known.get(name)!r} there, {value!r} here"
        for name, value in settings.items()
        if known.get(name) != value
    ]
    if other:
        raise RunError(
            f"{str(folder)!r} holds another search ({'; '.join(other)}). Pass another `out`.", code="run-differs"
        )
    if known != before:
        write_json(path, known)


@contextlib.contextmanager
def _few_words() -> Iterator[None]:
    """Keep TensorFlow from warning about what is intended, and KerasTuner from printing what nobody needs.

    Functions are traced often, since each trial is a separate model. And KerasTuner 1.4.8 prints a value of every
    condition that it sends to another process.
    """
    conditions = getattr(sys.modules.get("keras_tuner.src.engine.conditions"), "__dict__", {})
    conditions["print"] = lambda *values: None
    try:
        with traced_quietly():
            yield
    finally:
        del conditions["print"]


@contextlib.contextmanager
def _quick_collections() -> Iterator[None]:
    """Make the garbage collections before each trial skip existing objects, which saves a third of a second each."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
