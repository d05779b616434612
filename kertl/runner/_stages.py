"""The stages of a run, one after the other, and what they gave."""

import dataclasses
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from kertl._terminal import counted, working
from kertl.data import ImageData
from kertl.errors import DataError, DivergedError
from kertl.evaluation import predict
from kertl.recipe import Recipe
from kertl.runner._average import StageWeights, average
from kertl.runner._best_stage import BestStage
from kertl.runner._board import RunBoard
from kertl.runner._journal import Journal, Snapshot
from kertl.runner._stage import StageRunner
from kertl.training import Learner

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the stages of a run gave."""

    model: keras.Model
    """The model of the run: the one that was trained, or one for the mean of its stages."""
    stages: BestStage
    """How they ended."""
    predictions: dict[str, np.ndarray]
    """Those for each part."""
    refit: dict[str, Any] | None = None
    """What to say of a head that was solved once more."""
    average: dict[str, Any] | None = None
    """What to say of the mean."""


def train_stages(
    learner: Learner,
    data: ImageData,
    recipe: Recipe,
    journal: Journal,
    board: RunBoard,
    snapshot: Snapshot | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: str | int,
) -> Outcome:
    """Train the stages that are left, and say what they gave.

    Raises:
        DivergedError: If a loss became NaN or infinite; the model has the best weights before that.
    """
    model = learner.model
    best_stage = BestStage(model, recipe, data)
    weights = StageWeights(model) if recipe.average else None
    pulled = any(stage.l2_sp for stage in recipe.stages)
    start = zip(model.weights, journal.start_weights(model), strict=True) if pulled else ()
    runner = StageRunner(
        learner,
        data,
        recipe,
        start={id(variable): value for variable, value in start},
        journal=journal,
        keepers=[best_stage, *([] if weights is None else [weights])],
        board=board,
        callbacks=callbacks,
        verbose=verbose,
    )
    before, predicting = None, {}
    begin = snapshot.position.stage if snapshot else 0
    for place, stage in list(enumerate(recipe.stages))[begin:]:
        how = "solved exactly" if stage.solver == "exact" else counted(stage.epochs, "epoch")
        _logger.info("Stage %d of %d: at=%r, %s.", place + 1, len(recipe.stages), stage.at, how)
        try:
            end = runner.train(place, before, snapshot if place == begin else None)
        except (DivergedError, KeyboardInterrupt) as error:
            asked = partial(predict, model) if isinstance(error, DivergedError) else None
            best_stage.offer(place, stage, runner.monitored, asked)
            best_stage.restore(told=isinstance(error, DivergedError))
            journal.write_model(model)
            raise
        except DataError:
            _logger.warning(journal.hint())
            raise
        before, predicting[place] = end.trained, end.predict
        best_stage.offer(place, stage, end.monitored, end.predict)
        if weights is not None:
            weights.keep(place)
        _logger.info("%s.", best_stage.values[-1])
    with working("Evaluating", verbose):
        if weights is not None:
            return _averaged(weights, runner, learner, data, recipe, best_stage)
        best_stage.restore()
        best = best_stage.best or 0
        said = predicting.get(best) or runner.predictions(best)
        predictions = {} if data.validation is None else {"validation": said(data.validation)}
        refit = None
        if recipe.refit and recipe.stages[best].solver == "exact" and data.validation is not None:
            refit = runner.refit(best)
            said = runner.predictions(best)
        elif recipe.refit:
            reason = (
                "the best stage has none" if data.validation is not None else "there are no validation images to add"
            )
            _logger.info("No solved head is solved once more: %s.", reason)
        if data.test is not None:
            predictions["test"] = said(data.test)
    return Outcome(model, best_stage, predictions, refit)


def _averaged(
    weights: StageWeights,
    runner: StageRunner,
    learner: Learner,
    data: ImageData,
    recipe: Recipe,
    best_stage: BestStage,
) -> Outcome:
    """The one model for the mean of all stages, and what it predicts."""
    found = average(weights, runner, learner.model, data, recipe)
    best_stage.best = found.best
    predictions = {} if found.validation is None else {"validation": found.validation}
    if data.test is not None:
        predictions["test"] = predict(found.model, data.test)
    return Outcome(found.model, best_stage, predictions, found.refit, found.told)
