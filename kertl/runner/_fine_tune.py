"""`fine_tune`: the stages of a recipe, one after the other, and their result."""

import dataclasses
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import number, one_of
from kertl._terminal import counted, told, working
from kertl.compatibility import Findings, check, require
from kertl.data import ImageData, check_image_data
from kertl.errors import ArgumentError, DataError, DivergedError
from kertl.evaluation import evaluate, predict, tune_thresholds
from kertl.groups import functional_of
from kertl.hardware import precision_in_scope, scope_of, team_of
from kertl.model import ModelInfo, flags_kept, model_info, note_data, note_trained_on, set_model_info
from kertl.recipe import NAMED, PRECISIONS, PRESETS, Recipe, Stage, check_minutes, recipe_of
from kertl.results import plain
from kertl.runner._agreement import agreed, outside
from kertl.runner._auto import AutoRecipe, choose_recipe
from kertl.runner._best_stage import BestStage
from kertl.runner._board import RunBoard
from kertl.runner._callbacks import check_callbacks, check_same_callbacks
from kertl.runner._directory import RunDirectory
from kertl.runner._journal import Journal, Snapshot
from kertl.runner._read import read_run
from kertl.runner._run import Run, StageValue
from kertl.runner._signals import Stop, stopping
from kertl.runner._stage import StageRunner
from kertl.runner._unfreezing import gradual_unfreezing
from kertl.tasks import task_named
from kertl.training import WITHOUT_VALIDATION, Learner, refuse_unsupported

_logger = logging.getLogger(__name__)


def fine_tune(
    model: keras.Model,
    data: ImageData,
    *,
    recipe: str | Recipe | Stage | None = None,
    minutes: float | None = None,
    run_dir: str | Path | None = None,
    cache_dir: str | Path | None = None,
    precision: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    checkpoint_seconds: float = 60.0,
    report: bool = True,
    verbose: str | int = "auto",
) -> Run:
    """Train a model on images in stages, in place.

    In each stage the layers before the boundary always run in inference mode, a new optimizer takes over the moments of
    the variables that trained before, and at the end the weights of the epoch with the lowest validation loss are
    restored. At the end of the run the model gets the weights of its best stage by that loss. A model that was built
    inside a `tf.distribute` scope, such as that of `kertl.hardware.setup`, is trained in it. On several workers each
    process makes the same call; only the chief reads and writes `run_dir`, and a batch is that of all together.

    Args:
        model: A model for the task of the data, as `kertl.build` makes it, or any classifier that takes pictures of
            0..255 and ends in softmax or sigmoid. Its `trainable` flags are restored afterwards; task and class names
            are noted in it, and for "binary" and "multi_label" the thresholds that `kertl.tune_thresholds` chooses on
            the validation set.
        data: The images; `kertl.data` makes them. Without a validation set the training loss chooses the weights.
        recipe: "deep", "mid", "full", "gradual" (deep, mid, full; the default), "unfreezing" (what
            `kertl.gradual_unfreezing` makes of the model), a `kertl.Recipe`, one `kertl.Stage`, or "auto", the same as
            "good": stages chosen from the head, the number of images, the classes, and what `kertl.baselines` finds by
            depth; "quick" is the first of them, the head alone. The reasons are shown, and written to choices.json
            before anything is trained.
        minutes: A time for the run to keep to, > 0, with a recipe that is chosen; "auto" by default then. What each
            stage takes is estimated from a few forward passes, and the plan with its sums is part of the reasons.
        run_dir: Where to write recipe.json, data.csv, data.json, model.json, environment.json, choices.json,
            history.csv, metrics.json, model.keras, SHA256SUMS, report.html, checkpoints/, features/ and tensorboard/. A
            run that was interrupted there resumes from its last checkpoint, and ends with the weights, bit for bit,
            that it would have had; a finished one is read, and nothing is trained.
        cache_dir: Where features are cached, for all runs that share them; None for features/ in `run_dir`.
        precision: "float32", "mixed_bfloat16" or "mixed_float16", instead of the recipe's own. None: the
            recipe's own, or where that is float32 and the call is in the scope of `kertl.hardware.setup`, what that
            chose. Weights, and the model afterwards, are still float32.
        callbacks: More callbacks, for the `fit` of every stage. Their state goes into the checkpoints if they are
            Keras' own or have the methods `get_state()` and `set_state(state)`. In a run that resumes in mid-epoch, the
            rest of that epoch is a separate `fit`, whose batches are counted from 0.
        checkpoint_seconds: A checkpoint is written when a stage begins, when an epoch ends, and in mid-epoch after this
            many seconds, but rarely enough to take at most 3 % of the time; 0 writes after every batch, however long it
            takes. SIGINT (Ctrl-C) and SIGTERM write one too and end the run; a second signal ends it at once.
        report: Whether to write report.html into `run_dir` in the end, as `Run.report` does; it takes some seconds.
        verbose: 0 for silence; "auto" and 1 show the epochs of a stage as a table on a terminal, with the best so far
            and the time left, and elsewhere a line for each, on stderr; 2 always writes lines. Above 0, what kertl
            decides is shown on a terminal and in a notebook; everywhere it goes to the logger "kertl".

    Returns:
        The run: `model`, `history`, `metrics`, `best_stage`, `stages`.

    Raises:
        ValueError: If model and data do not go together, or the recipe names an unknown boundary.
        WeightsError: If a weight of the model is NaN or infinite.
        RunError: If `run_dir` holds a run of another recipe, of other data, of another model or with other callbacks;
            the message shows the difference. If another process uses it, it cannot be written to, or a file that the
            run needs is damaged. If memory runs out.
        DivergedError: If a loss became NaN or infinite; `model` and model.keras hold the best weights so far.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25, batch_size=4)
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> recipe = kertl.Recipe(stages=[kertl.Stage("deep", epochs=2, augment="none")])
        >>> run = kertl.fine_tune(model, data, recipe=recipe, verbose=0)
        >>> len(run.history["val_loss"]), sorted(run.metrics)
        (2, ['test', 'validation'])

    Reference:
        Howard & Ruder, "Universal Language Model Fine-tuning", 2018, section 3.2, for unfreezing in stages.
        https://arxiv.org/abs/1801.06146
    """
    if recipe is None:
        recipe = "gradual" if minutes is None else "auto"
    if isinstance(recipe, str):
        one_of("recipe", recipe, (*PRESETS, "unfreezing", *NAMED))
    wanted, preset = None, recipe if recipe in PRESETS else None
    check_minutes(minutes, recipe)
    if preset is None:
        wanted = gradual_unfreezing(model) if recipe == "unfreezing" else recipe_of(recipe)
    check_image_data(data)
    functional_of(model, pictures=True)
    require(model, data, wanted)
    if wanted and data.validation is None:
        refuse_unsupported(wanted, WITHOUT_VALIDATION)
    number("checkpoint_seconds", checkpoint_seconds, at_least=0)
    one_of("precision", precision, (None, *PRECISIONS))
    note_data(model, data)
    team = team_of(model)
    directory = RunDirectory(run_dir, cache_dir, team)
    verbose = verbose if team.chief else 0
    with told(verbose), directory.in_use(), scope_of(model), team.loss_named(directory.hint):
        recipe = wanted or _chosen_recipe(model, data, directory, str(preset), minutes)
        usual = precision_in_scope() if recipe.precision == "float32" else None
        recipe = dataclasses.replace(recipe, precision=precision or usual or recipe.precision)
        check_callbacks(callbacks)
        directory.check_alike(recipe, data, model)
        if directory.finished:
            agreed(team, lambda: directory.refuse_other(recipe, data, model))
            _logger.info("%s holds the finished run of this recipe and data; nothing is trained.", directory.path)
            return _finished_run(model, recipe, data, directory)
        _report(check(recipe, model, data, callbacks=callbacks))
        last = directory.begin(recipe, data, model)
        snapshot = Snapshot.from_values(last) if last else None
        if snapshot is not None:
            check_same_callbacks(callbacks, snapshot)
            _logger.warning("%s resumes from its last checkpoint: %s.", directory.path, snapshot.position)
        files = directory.checkpoints
        with stopping(files.hint) if files else nullcontext(Stop()) as stop, flags_kept(model):
            journal = Journal(directory, snapshot, stop, checkpoint_seconds)
            learner = Learner.of(model, data.task)
            with RunBoard(directory.tensorboard, learner, data, recipe) as board:
                try:
                    stages, predictions, refit = _train(
                        learner, data, recipe, journal, board, snapshot, callbacks, verbose
                    )
                finally:
                    note_trained_on(model, data.train)
                with working("Evaluating and saving", verbose):
                    if task_named(data.task).has_thresholds and data.validation is not None:
                        tune_thresholds(model, data, predictions=predictions["validation"])
                    metrics = {
                        name: evaluate(model, getattr(data, name), predictions=found)
                        for name, found in predictions.items()
                    }
                    if refit:  # what was said of the validation set is from before
                        note_trained_on(model, data.validation)
                    ends = tuple(stages.values)
                    directory.write_history(journal.rows)
                    directory.write_model(model)
                    board.end(metrics, predictions, len(journal.rows) - 1)
            told_of_refit = {"refit": refit} if refit else {}
            directory.write_metrics({**metrics, "best_stage": stages.best, "stages": plain(ends), **told_of_refit})
        best = stages.best or 0
        run = Run(model, recipe, tuple(journal.rows), metrics, directory.path, best, ends, refit, data, predictions)
        if report and team.size == 1:
            with working("Looking into the images and writing the report", verbose):
                _reported(run)
    return run


def _train(
    learner: Learner,
    data: ImageData,
    recipe: Recipe,
    journal: Journal,
    board: RunBoard,
    snapshot: Snapshot | None,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: str | int,
) -> tuple[BestStage, dict[str, np.ndarray], dict[str, Any] | None]:
    """Train the remaining stages.

    Returns:
        How they ended, the predictions of the best one for each part, and what to say of a head that was solved once
        more.
    """
    model = learner.model
    best_stage = BestStage(model, recipe, data)
    pulled = any(stage.l2_sp for stage in recipe.stages)
    start = zip(model.weights, journal.start_weights(model), strict=True) if pulled else ()
    runner = StageRunner(
        learner,
        data,
        recipe,
        start={id(variable): value for variable, value in start},
        journal=journal,
        best_stage=best_stage,
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
        _logger.info("%s.", best_stage.values[-1])
    with working("Evaluating", verbose):
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
    return best_stage, predictions, refit


def _report(findings: Findings) -> None:
    """Log what is known to give worse results, and stop at what cannot work.

    Raises:
        ValueError: If something cannot work.
    """
    for finding in findings.warnings:
        _logger.warning("%s", finding)
    if findings.errors:
        listed = "\n".join(map(str, findings.errors))
        raise ArgumentError(
            f"`recipe`, `model`, `data` and `callbacks` must go together. Received:\n{listed}", code="combination"
        )


def _chosen_recipe(
    model: keras.Model, data: ImageData, directory: RunDirectory, preset: str, minutes: float | None
) -> Recipe:
    """The recipe for a preset: the one that the run in the directory has, or a new choice."""
    choices = directory.read_choices()
    if "recipe" in choices:
        return AutoRecipe.from_values(choices["recipe"]).recipe
    chosen = choose_recipe(model, data, directory.features, preset, minutes)
    values = agreed(directory.team, chosen.to_values)
    directory.write_choices({"recipe": values})
    return AutoRecipe.from_values(values).recipe


def _finished_run(model: keras.Model, recipe: Recipe, data: ImageData, directory: RunDirectory) -> Run:
    """The run in a directory, whose weights become those of the model."""

    def read() -> dict[str, Any]:
        found = read_run(Path(str(directory.path)))
        info = model_info(found.model)
        return {
            "weights": found.model.get_weights(),
            "info": None if info is None else plain(info.to_json()),
            "metrics": dict(found.metrics),
            "rows": list(found.rows),
            "best_stage": found.best_stage,
            "stages": plain(found.stages),
            "refit": None if found.refit is None else dict(found.refit),
        }

    found = agreed(directory.team, lambda: outside(directory.team, read))
    model.set_weights(found.pop("weights"))
    info = found.pop("info")
    if info is not None:
        set_model_info(model, ModelInfo.from_json(info))
    note_trained_on(model, data.train, data.validation if found["refit"] else None)
    stages = tuple(StageValue(**one) for one in found.pop("stages"))
    return Run(model=model, recipe=recipe, run_dir=directory.path, stages=stages, data=data, **found)


def _reported(run: Run) -> None:
    """Write the report of a run that is safe already; if that fails, say why and go on."""
    if run.run_dir is None:
        return
    try:
        _logger.info("The report is %s.", run.report())
    except Exception as error:  # whatever it is, the run is whole, and its result must not be lost for a page
        _logger.warning("No report was written: %s `kertl report %s` tries again.", error, run.run_dir, exc_info=True)
