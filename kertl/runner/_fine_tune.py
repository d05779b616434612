"""`fine_tune`: the stages of a recipe, one after the other, and their result."""

import dataclasses
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras

from kertl._checks import among, number, one_of
from kertl._places import as_given
from kertl._terminal import told, working
from kertl.compatibility import Findings, check, require
from kertl.data import ImageData, check_image_data
from kertl.errors import ArgumentError
from kertl.evaluation import evaluate, tune_thresholds
from kertl.groups import find_chain, functional_of
from kertl.hardware import precision_in_scope, refuse_processes, scope_of, team_of
from kertl.model import (
    ModelInfo,
    averaged,
    flags_kept,
    give_member,
    keep_info,
    model_info,
    note_data,
    note_trained_on,
    set_model_info,
)
from kertl.recipe import NAMED, PRECISIONS, PRESETS, Recipe, Stage, check_minutes, recipe_of
from kertl.results import plain
from kertl.runner._agreement import agreed, outside
from kertl.runner._auto import AutoRecipe, choose_recipe
from kertl.runner._average import first_different
from kertl.runner._board import RunBoard, check_profiled
from kertl.runner._callbacks import check_callbacks, check_same_callbacks
from kertl.runner._directory import RunDirectory
from kertl.runner._ends import check_keep, refuse_unsaved
from kertl.runner._journal import Journal, Snapshot
from kertl.runner._notices import check_notices, heard
from kertl.runner._read import read_run
from kertl.runner._run import Run, StageValue
from kertl.runner._signals import Stop, stopping
from kertl.runner._stages import train_stages
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
    notices: str | None = None,
    keep_features: bool = False,
    report: bool = True,
    profile: tuple[int, int] | None = None,
    verbose: str | int = "auto",
) -> Run:
    """Train a model on images in stages, in place.

    In each stage the layers before the boundary always run in inference mode, a new optimizer takes over the moments of
    the variables that trained before, and at the end the weights of the epoch with the lowest validation loss are
    restored. At the end of the run the model gets the weights of its best stage by that loss. A model that was built
    inside a `tf.distribute` scope, such as that of `kertl.hardware.setup`, is trained in it. On several workers each
    process makes the same call; only the chief reads and writes `run_dir`, and a batch is that of all together.

    Where memory runs out on one device, the run goes on from its last checkpoint by itself, with batches that are
    computed in halves, quarters and so on, whose gradients are added up: a step is still one of the whole batch, and
    without dropout, augmentation and BatchNorm that trains, which see the parts, the weights are the same but for
    rounding. It is said, and written to choices.json.

    Args:
        model: A model for the task of the data, as `kertl.build` makes it, or any classifier that takes pictures of
            0..255 and ends in softmax or sigmoid. Its `trainable` flags are restored afterwards; task and class names
            are noted in it, and for "binary" and "multi_label" the thresholds that `kertl.tune_thresholds` chooses on
            the validation set.
        data: The images; `kertl.data` makes them. Without a validation set the training loss chooses the weights.
        recipe: "deep", "mid", "full", "gradual" (deep, mid, full; the default), "unfreezing" (what
            `kertl.gradual_unfreezing` makes of the model), a `kertl.Recipe`, one `kertl.Stage`, or "auto", the same as
            "good": stages chosen from the head, the number of images, the classes, and what `kertl.baselines` finds by
            depth; "quick" is the first of them, the head alone; "best" trains several and gives their mean as one
            model (`kertl.Recipe.average`). The reasons are shown, and written to choices.json before anything is
            trained.
        minutes: A time for the run to keep to, > 0, with a recipe that is chosen; "auto" by default then. What each
            stage takes is estimated from a few forward passes, and the plan with its sums is part of the reasons.
        run_dir: Where to write recipe.json, data.csv, data.json, model.json, environment.json, choices.json,
            history.csv, metrics.json, model.keras, SHA256SUMS, report.html, checkpoints/, features/ and tensorboard/. A
            run that was interrupted there resumes from its last checkpoint, and ends with the weights, bit for bit,
            that it would have had, on as many cores and devices and with the same versions of packages; with others it
            warns, and keeps the first environment.json beside the new one. A finished run is read, and nothing is
            trained. An address that fsspec knows, such as gs://bucket/run or s3://bucket/run (`kertl[remote]`, and the
            package that fsspec names for it), is uploaded to after each checkpoint, all but features/; `Run.run_dir` is
            then its copy on this machine. One process at a time may use it.
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
        notices: "gce" or "ec2" asks Google Compute Engine or Amazon EC2 every five seconds whether the machine is about
            to be taken away, and then does as on SIGTERM; it needs a `run_dir`. GCE_METADATA_HOST and
            AWS_EC2_METADATA_SERVICE_ENDPOINT may name another address to ask. None asks nobody.
        keep_features: Whether to write source_features.npz into `run_dir`: what the last layer of the final model takes
            for each training image, with its label, 5 KB an image at 1,280 features. `kertl.adapt` then needs no image
            of the run. For a classifier for one class of several, or of two, and one process.
        report: Whether to write report.html into `run_dir` in the end, as `Run.report` does; it takes some seconds.
        profile: First and last step of each stage to record with the profiler into `run_dir`/tensorboard, as
            `kertl.callbacks.Profiler` does, such as (10, 20); what it saw is logged.
        verbose: 0 for silence; "auto" and 1 show the epochs of a stage as a table on a terminal, with the best so far
            and the time left, and elsewhere a line for each, on stderr; 2 always writes lines. Above 0, what kertl
            decides is shown on a terminal and in a notebook; everywhere it goes to the logger "kertl".

    Returns:
        The run: `model`, `history`, `metrics`, `best_stage`, `stages`. Its `model` is the one that was trained, unless
        the recipe averages its stages: then it is a new one, and `model` gets the weights of the best stage alone.

    Raises:
        ValueError: If model and data do not go together, or the recipe names an unknown boundary.
        WeightsError: If a weight of the model is NaN or infinite.
        RunError: If `run_dir` holds a run of another recipe, of other data, of another model or with other callbacks;
            the message shows the difference. If another process uses it, it cannot be written to, or a file that the
            run needs is damaged. If memory runs out, and batches cannot be computed in smaller parts.
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
    wanted, preset = None, recipe if among(recipe, PRESETS) else None
    check_minutes(minutes, recipe)
    one_of("report", report, (True, False))
    one_of("verbose", verbose, ("auto", 0, 1, 2))
    if preset is None:
        wanted = gradual_unfreezing(model) if among(recipe, ("unfreezing",)) else recipe_of(recipe)
    refuse_processes("fine_tune")
    check_image_data(data)
    functional_of(model, pictures=True)
    with working("Checking the recipe", verbose):
        require(model, data, wanted)
    if wanted and data.validation is None:
        refuse_unsupported(wanted, WITHOUT_VALIDATION)
    number("checkpoint_seconds", checkpoint_seconds, at_least=0)
    one_of("precision", precision, (None, *PRECISIONS))
    averages = preset == "best" if wanted is None else wanted.average
    refuse_unsaved(model, run_dir, averages=averages)
    check_profiled(profile, run_dir)
    check_notices(notices, written=run_dir is not None)
    note_data(model, data)
    team = team_of(model)
    check_keep(keep_features, run_dir, data, team, averages=averages)
    directory = RunDirectory(run_dir, cache_dir, team)
    verbose = verbose if team.chief else 0
    with told(verbose), directory.in_use(), scope_of(model), team.loss_named(directory.hint):
        recipe, choices = (wanted, None) if wanted else _chosen_recipe(model, data, directory, str(preset), minutes)
        usual = precision_in_scope() if recipe.precision == "float32" else None
        recipe = dataclasses.replace(recipe, precision=precision or usual or recipe.precision)
        callbacks = check_callbacks(callbacks)
        directory.check_alike(recipe, data, model)
        directory.begin_choices(choices, recipe, data, model)
        if directory.finished:
            agreed(team, lambda: directory.refuse_other(recipe, data, model))
            _logger.info("%s holds the finished run of this recipe and data; nothing is trained.", directory.named)
            run = _finished_run(model, recipe, data, directory)
            directory.keep_source(model, data, keep_features)
            return run
        with working("Checking the recipe", verbose):
            findings = check(model, data, recipe, callbacks=callbacks)
        _report(findings)
        with working("Writing what the run is", verbose):
            last = directory.begin(recipe, data, model)
        snapshot = Snapshot.from_values(last) if last else None
        if snapshot is not None:
            check_same_callbacks(callbacks, snapshot, own=3 if recipe.average else 2)
            _logger.warning("%s resumes from its last checkpoint: %s.", directory.named, snapshot.position)
        files = directory.checkpoints
        with (
            stopping(files.hint) if files else nullcontext(Stop()) as stop,
            heard(notices if files else None, stop.come),
            flags_kept(model),
        ):
            journal = Journal(directory, snapshot, stop, checkpoint_seconds)
            with working("Looking for layer groups", verbose):
                learner = Learner.of(model, data.task)
            with RunBoard(directory.tensorboard, learner, data, recipe, profile) as board:
                try:
                    outcome = train_stages(learner, data, recipe, journal, board, snapshot, callbacks, verbose)
                finally:
                    note_trained_on(model, data.train)
                stages, predictions, given = outcome.stages, outcome.predictions, keep_info(model, outcome.model)
                with working("Evaluating and saving", verbose):
                    if task_named(data.task).has_thresholds and data.validation is not None:
                        tune_thresholds(given, data, predictions=predictions["validation"])
                    metrics = {
                        name: evaluate(given, getattr(data, name), predictions=found)
                        for name, found in predictions.items()
                    }
                    if outcome.refit:  # what was said of the validation set is from before
                        note_trained_on(given, data.validation)
                    keep_info(given, model)
                    ends = tuple(stages.values)
                    directory.write_history(journal.rows)
                    directory.write_model(given)
                    directory.keep_source(given, data, keep_features)
                    board.end(metrics, predictions, len(journal.rows) - 1)
            noted = {name: value for name in ("refit", "average") if (value := getattr(outcome, name))}
            directory.write_metrics({**metrics, "best_stage": stages.best, "stages": plain(ends), **noted})
        run = Run(
            model=given,
            recipe=recipe,
            rows=tuple(journal.rows),
            metrics=metrics,
            run_dir=directory.path,
            best_stage=stages.best or 0,
            stages=ends,
            data=data,
            predictions=predictions,
            **noted,
        )
        if report and team.size == 1:
            with working("Looking into the images and writing the report", verbose):
                _reported(run)
                directory.upload(everything=True)
    return run


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
) -> tuple[Recipe, dict[str, Any] | None]:
    """The recipe for a preset: the one that the run in the directory has, or a new choice, which is to be written."""
    choices = directory.read_choices()
    if "recipe" in choices:
        found = directory.readable_choice(lambda: AutoRecipe.from_values(choices["recipe"]))
        found.refuse_other(preset, minutes, directory.named)
        return found.recipe, None
    chosen = choose_recipe(model, data, directory.features, preset, minutes)
    values = agreed(directory.team, chosen.to_values)
    return AutoRecipe.from_values(values).recipe, {**choices, "recipe": values}


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
            "average": None if found.average is None else dict(found.average),
        }

    found = agreed(directory.team, lambda: outside(directory.team, read))
    told, first = found["average"], 0
    given = model
    if told is not None:
        first = first_different(find_chain(model), recipe)
        members = [model.get_weights()] * len(told["stages"])
        given = averaged(model, members, told["shares"], first=first, mirrored=told["mirrored"])
    given.set_weights(found.pop("weights"))
    if told is not None:
        give_member(given, told["stages"].index(found["best_stage"]), model, first=first)
    info = found.pop("info")
    for one in (model, given) if info is not None else ():
        set_model_info(one, ModelInfo.from_json(info))
    note_trained_on(given, data.train, data.validation if found["refit"] else None)
    stages = tuple(StageValue(**one) for one in found.pop("stages"))
    return Run(model=given, recipe=recipe, run_dir=directory.path, stages=stages, data=data, **found)


def _reported(run: Run) -> None:
    """Write the report of a run that is safe already; if that fails, say why and go on."""
    if run.run_dir is None:
        return
    try:
        _logger.info("The report is %s.", run.report())
    except Exception as error:  # whatever it is, the run is whole, and its result must not be lost for a page
        _logger.warning(
            "No report was written: %s `kertl report %s` tries again.", error, as_given(run.run_dir), exc_info=True
        )
