"""KerasTuner's tuner, changed so that a failed trial says why in one line, and each leaves what `fine_tune` needs."""

import json
import math
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner

from kertl.callbacks import TensorBoard
from kertl.inspection import refuse_bomb
from kertl.run_files import write_json
from kertl.search._candidate import CANDIDATE
from kertl.search._chief import Requests
from kertl.search._hypermodel import TransferHyperModel
from kertl.search._oracles import Durable

_PAUSE = 0.2


class _SpaceAlone(keras_tuner.HyperModel):
    """The hyperparameters of a hypermodel, without a model, whose building may fail."""

    def __init__(self, whole: TransferHyperModel) -> None:
        super().__init__()
        self._whole = whole

    def build(self, hp: keras_tuner.HyperParameters) -> None:
        """Ask for the hyperparameters."""
        self._whole.candidate(hp)


class SearchTuner(keras_tuner.Hyperband):
    """KerasTuner's tuner for any of the oracles; from Hyperband's it has what trials of later rounds need.

    Args:
        oracle: What suggests the trials.
        hypermodel: What they train.
        folder: Where their files are.
    """

    def __init__(self, oracle: Durable, hypermodel: TransferHyperModel, folder: Path) -> None:
        self.tell: Callable[[str], None] | None = None
        """Called with the name of each finished trial."""
        self.hypermodel: Any
        keras_tuner.Tuner.__init__(self, oracle, hypermodel, directory=str(folder.parent), project_name=folder.name)
        if self._is_worker():
            self.oracle.stub = Requests(self.oracle)

    def _populate_initial_space(self) -> None:
        whole, self.hypermodel = self.hypermodel, _SpaceAlone(self.hypermodel)
        try:
            super()._populate_initial_space()
        finally:
            self.hypermodel = whole

    def pre_create_trial(self) -> None:
        """A worker that is told to wait asks again after a moment."""
        if self._is_worker():
            time.sleep(_PAUSE)

    def _try_run_and_update_trial(self, trial: Any, *args: Any, **kwargs: Any) -> None:
        """KerasTuner's, without the traceback on stderr; it is in trial.json."""
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = "COMPLETED"
        except keras_tuner.errors.FailedTrialError:
            trial.status, trial.message = "FAILED", traceback.format_exc()

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """KerasTuner's; errors are reported in one line, and what was trained is recorded."""
        start = time.perf_counter()
        try:
            (result,) = super().run_trial(trial, *args, **kwargs)
            name = self.oracle.objective.name
            metrics = result if isinstance(result, dict) else {name: max(result.history[name], key=math.isfinite)}
            if not math.isfinite(metrics[name]):
                raise keras_tuner.errors.FailedTrialError(f"{name} became {metrics[name]}.")
        except (keras_tuner.errors.FatalError, keras_tuner.errors.FailedTrialError):
            raise
        except Exception as error:  # out of memory, or a backbone and a boundary that do not work together
            reason = re.sub(r"\s+", " ", str(error)).strip()[:300]
            raise keras_tuner.errors.FailedTrialError(f"{type(error).__name__}: {reason}") from error
        finally:
            self._write_down(trial, time.perf_counter() - start, kwargs["epochs"])
        return result

    def _build_hypermodel(self, hp: Any) -> Any:
        """KerasTuner's, which in a later round loads the weights of an earlier one; their file may come from others."""
        if "tuner/trial_id" in hp.values:
            refuse_bomb(Path(self._get_checkpoint_fname(hp.values["tuner/trial_id"])))
        return super()._build_hypermodel(hp)

    def _configure_tensorboard_dir(self, callbacks: list[Any], trial: Any, execution: int = 0) -> None:
        """A folder for each trial, and its hyperparameters there; KerasTuner's own does so with TensorFlow alone."""
        for callback in callbacks:
            if isinstance(callback, TensorBoard):
                callback.log_dir = str(Path(callback.log_dir, str(trial.trial_id), f"execution{execution}"))
                callback.hparams = dict(trial.hyperparameters.values)

    def on_trial_end(self, trial: Any) -> None:
        """KerasTuner's; then the trial is reported."""
        super().on_trial_end(trial)
        if self.tell is not None:
            self.tell(trial.trial_id)

    def save(self) -> None:
        """Write the state; the tuner's own is empty, but KerasTuner checks that the file exists."""
        if not self._is_worker():
            self.oracle.save()
        write_json(Path(self._get_tuner_fname()), {})

    def reload(self) -> None:
        """Restore the state."""
        if not self._is_worker():
            self.oracle.reload()

    def _write_down(self, trial: Any, seconds: float, epochs: int) -> None:
        """What was trained, as a candidate with the epochs that it was trained for."""
        candidate = json.loads(self.hypermodel.candidate(trial.hyperparameters).to_json())
        candidate["recipe"]["stages"][-1]["epochs"] = trial.hyperparameters.values.get("tuner/epochs", epochs)
        candidate["recipe"]["seed"] = self.hypermodel.seed
        write_json(Path(self.get_trial_dir(trial.trial_id), CANDIDATE), {**candidate, "seconds": round(seconds, 3)})
