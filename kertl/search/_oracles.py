"""KerasTuner's oracles, changed so that a killed search, or one with damaged files, resumes with the same trials.

Their suggestions are a function of the seed and of the earlier trials; all files are replaced as a whole; a file that
cannot be read is named, and its content is recovered from the other files as far as possible.
"""

import copy
import functools
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from kertl._checks import one_of
from kertl.run_files import read_json, write_json

_logger = logging.getLogger(__name__)

FAILED_IN_A_ROW = 10
"""This many failed trials in a row stop a search."""
# More than the random numbers that one trial's values are drawn with.
_STRIDE = 10_000
_OVER = ("COMPLETED", "FAILED")


class Durable(keras_tuner.Oracle):
    """The common part of all oracles; the other base class of each suggests the values.

    Args:
        keep: How many checkpoints of the best trials are kept.
        **options: Of KerasTuner's oracle.
    """

    def __init__(self, keep: int, **options: Any) -> None:
        super().__init__(**options)
        self.keep = keep
        self.max_trials: Any
        self._retry_queue: list[str]
        self.end_order: list[str]
        self._over_before = 0
        self.waits_for_others = "chief" in os.environ.get("KERASTUNER_TUNER_ID", "")
        """Whether a worker that finds no trial waits, since one that another was given may come back."""

    @property
    def too_many_failed(self) -> list[str]:
        """The last trials, if so many in a row have failed since the search began or resumed that it stops."""
        last = self.end_order[self._over_before :][-FAILED_IN_A_ROW:]
        failed = all(self.trials[name].status == "FAILED" for name in last)
        return last if failed and len(last) == FAILED_IN_A_ROW else []

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """KerasTuner's, except that too many failures in a row end the search by ending the suggestions."""
        limit: int = self.max_trials
        if self.too_many_failed:
            self.max_trials, self._retry_queue = len(self.trials), []
        try:
            trial = super().create_trial(tuner_id)
        finally:
            self.max_trials = limit
        if trial.status == "STOPPED" and self.waits_for_others and self.ongoing_trials and not self.too_many_failed:
            trial.status = "IDLE"
            self.tuner_ids.add(tuner_id)
        return trial

    @keras_tuner.synchronized
    def workers(self) -> tuple[str, ...]:
        """The workers that were given a trial, or wait for one."""
        return tuple({*self.tuner_ids, *self.ongoing_trials})

    @keras_tuner.synchronized
    def over(self) -> bool:
        """Whether all trials have ended."""
        return len(self.end_order) >= self.max_trials and not self._retry_queue and not self.ongoing_trials

    @keras_tuner.synchronized
    def give_up(self, worker: str, seconds: float) -> None:
        """Put the trial of a worker back into the queue, and wait for that worker no longer."""
        self.tuner_ids.discard(worker)
        trial = self.ongoing_trials.pop(worker, None)
        back = ""
        if trial is not None:
            self._retry_queue.append(trial.trial_id)
            self.save()
            back = f" Its trial {trial.trial_id} goes to another."
        left = len(self.tuner_ids)
        _logger.warning(
            "Worker %s has shown no sign of life for %.0f seconds.%s %s",
            worker,
            seconds,
            back,
            f"Workers left: {left}." if left else "No worker is left: the search waits until one is started.",
        )

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """KerasTuner's; then checkpoints are removed that are neither of the best trials nor needed for training.

        A trial may end twice, where a worker that was given up was only slow; what came first counts.
        """
        name = trial.trial_id
        if name in self.end_order:
            mine = [worker for worker, one in self.ongoing_trials.items() if one.trial_id == name]
            for worker in mine:
                del self.ongoing_trials[worker]
            return
        if name in self._retry_queue:
            self._retry_queue.remove(name)
        super().end_trial(trial)
        kept = {best.trial_id for best in self.get_best_trials(self.keep)} | self.trained_on()
        for name, one in self.trials.items():
            if one.status in _OVER and name not in kept:
                Path(self._get_trial_dir(name), "checkpoint.weights.h5").unlink(missing_ok=True)

    def trained_on(self) -> set[str]:
        """The trials whose checkpoints another trial may begin with."""
        return set()

    def _check_consecutive_failures(self) -> None:
        """Nothing: KerasTuner raises here, while it holds its lock, and before the trial is written."""

    def _random_values(self) -> dict[str, Any] | None:
        self._seed_state = self.seed + _STRIDE * len(self.trials)
        return super()._random_values()

    def get_state(self) -> dict[str, Any]:
        """KerasTuner's, and the values of all trials, for those whose own file is damaged."""
        values = {name: trial.hyperparameters.values for name, trial in self.trials.items()}
        return {**super().get_state(), "values": values}

    def save(self) -> None:
        """Write oracle.json."""
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id), "trial.json"), trial.get_state())

    def reload(self) -> None:
        """Restore the state from the files; a trial that was being trained, or cannot be read, is trained again.

        In a chief, a worker that was given a trial may still be at it, and keeps it until it counts as lost.
        """
        wanted = self.get_state()
        state = _read(Path(self._get_oracle_fname()), lambda state: {name: state[name] for name in wanted})
        files = sorted(Path(self._project_dir).glob("trial_*/trial.json"))
        found = {file.parent.name.removeprefix("trial_"): _read(file, Trial.from_state) for file in files}
        values = state["values"] if state else {name: {} for name in found}
        state = state or self._state_from([trial for trial in found.values() if trial])
        space = keras_tuner.HyperParameters.from_config(copy.deepcopy(state["hyperparameters"]))  # which it changes
        # A trial that oracle.json does not know had not begun; it is suggested again.
        for name in sorted(values, key=int):
            trial = found.get(name) or _without_file(name, space, values[name])
            if trial.status not in _OVER and trial.metrics.exists(self.objective.name):
                trial.status = "COMPLETED"  # killed between the last epoch and the end
                self.score_trial(trial)
            self.trials[name] = trial
        over = [name for name, trial in self.trials.items() if trial.status in _OVER]
        given = state["ongoing_trials"] if self.waits_for_others else {}
        at_work = {worker: name for worker, name in given.items() if name in self.trials and name not in over}
        self.set_state({**state, "ongoing_trials": at_work, "retry_queue": []})
        self.start_order = list(self.trials)
        self.end_order = [*(name for name in self.end_order if name in over), *sorted(set(over) - set(self.end_order))]
        self._over_before = len(self.end_order)
        self._retry_queue = [name for name in reversed(self.trials) if name not in {*over, *at_work.values()}]
        for name in self._retry_queue:
            self._run_times[name] = 0

    def _state_from(self, trials: list[Trial]) -> dict[str, Any]:
        """A state from the known trials, if oracle.json is damaged."""
        state = self.get_state()
        if trials:
            state["hyperparameters"] = {**trials[-1].hyperparameters.get_config(), "values": {}}
        hashes = {one.trial_id: self._compute_values_hash(one.hyperparameters.values) for one in trials}
        return {**state, "id_to_hash": hashes, "tried_so_far": list(hashes.values())}


def _without_file(name: str, space: keras_tuner.HyperParameters, values: dict[str, Any]) -> Trial:
    """A trial whose file is damaged: to be trained again if its values are known."""
    hyperparameters = space.copy()
    hyperparameters.values = dict(values)
    if values or not space.space:
        return Trial(hyperparameters, name)
    return Trial(hyperparameters, name, status="FAILED", message="Its trial.json and the oracle.json are damaged.")


def _read(path: Path, made: Callable[[Any], Any]) -> Any:
    """What is made of a JSON file; None if it does not exist or is damaged, in which case it is logged and renamed."""
    try:
        return made(read_json(path))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        _logger.warning("%s is damaged (%s: %s) and now called %s.", path, type(error).__name__, error, aside.name)
        return None


class RandomOracle(Durable, keras_tuner.oracles.RandomSearchOracle):
    """Values drawn at random."""


class GridOracle(Durable, keras_tuner.oracles.GridSearchOracle):
    """All combinations in order."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state; the position in the grid, which KerasTuner does not save, follows from the trials.

        Trials in the queue whose next combination has been tried are skipped.
        """
        super().set_state(state)
        values = {name: trial.hyperparameters.values for name, trial in self.trials.items()}
        in_order = functools.cmp_to_key(lambda one, other: self._compare(values[one], values[other]))
        for name in sorted((name for name in values if values[name]), key=in_order):
            self._ordered_ids.insert(name)
            self._populate_next.append(name)


class BayesianOracle(Durable, keras_tuner.oracles.BayesianOptimizationOracle):
    """What a Gaussian process of the trials so far predicts to be best."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """KerasTuner's, with random numbers that follow from the number of the trial."""
        self._random_state = np.random.RandomState((self.seed + _STRIDE * len(self.trials)) % 2**32)
        with warnings.catch_warnings():
            # from scikit-learn, about a length scale that the few trials do not determine
            warnings.filterwarnings("ignore", message="The optimal value found for dimension")
            warnings.filterwarnings("ignore", message="lbfgs failed to converge")
            return super().populate_space(trial_id)


class HyperbandOracle(Durable, keras_tuner.oracles.HyperbandOracle):
    """Many short trainings, the best of which continue."""

    def __init__(self, keep: int, *, max_trials: int, **options: Any) -> None:
        super().__init__(keep, hyperband_iterations=None, **options)
        self.max_trials = max_trials

    def trained_on(self) -> set[str]:
        """The trials of the rounds that are not over."""
        return {entry["id"] for bracket in self._brackets for entries in bracket["rounds"] for entry in entries}


_ORACLES: dict[str, Any] = {
    "random": RandomOracle,
    "grid": GridOracle,
    "bayesian": BayesianOracle,
    "hyperband": HyperbandOracle,
}
STRATEGIES = tuple(_ORACLES)


def oracle_for(
    strategy: str, objective: keras_tuner.Objective, *, max_trials: int, epochs: int, seed: int, keep: int
) -> Durable:
    """The oracle of a strategy.

    Args:
        strategy: "random", "grid", "bayesian" or "hyperband".
        objective: What to minimise or maximise.
        max_trials: The largest number of trials.
        epochs: Epochs of a whole training.
        seed: >= 0.
        keep: How many checkpoints are kept.
    """
    one_of("strategy", strategy, STRATEGIES)
    # KerasTuner takes a seed of 0 for none.
    options: dict[str, Any] = {"objective": objective, "seed": seed + 1, "max_trials": max_trials}
    if strategy == "hyperband":
        options["max_epochs"] = epochs
    if strategy == "bayesian":  # by default KerasTuner draws three times as many at random as there are dimensions
        options["num_initial_points"] = max(3, max_trials // 3)
    return _ORACLES[strategy](keep, **options)
