"""`diagnose`: the rules in their order, and what they find."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from kertl._checks import complain, integer, number, one_of
from kertl._terminal import counted
from kertl.diagnosis import _training_rules as training
from kertl.diagnosis import _validation_rules as validation
from kertl.diagnosis._advice import advice
from kertl.diagnosis._case import Case
from kertl.diagnosis._curves import INFERENCE, Curves, Known
from kertl.diagnosis._read import read
from kertl.diagnosis._result import Diagnosis, Finding

_TASKS = ("single_label", "binary", "multi_label", "regression")
_SHORT = 3
_WORSE = 0.05

# In their order: what makes the later ones meaningless comes first.
_OF_TRAINING: tuple[Callable[[Case], training.Found | None], ...] = (
    training.diverged,
    training.vanishing_gradients,
    training.rate_too_low,
    training.class_collapse,
    training.rate_too_high,
)
_OF_VALIDATION: tuple[Callable[[Case], training.Found | None], ...] = (
    validation.batch_norm,
    validation.leak,
    validation.validation_too_small,
    training.plateau,
    validation.label_noise,
    validation.overfitting,
    training.underfitting,
    validation.still_improving,
)
# What is told by the training alone comes before a validation set that is too small to tell.
_ALONE = (training.plateau, training.underfitting)


def diagnose(
    source: Any,
    *,
    task: str | None = None,
    classes: int | None = None,
    validation_images: int | None = None,
    majority: float | None = None,
    learning_curve: Any = None,
) -> Diagnosis:
    """Say in words what a training shows, by what evidence, and what to try next.

    The rules are plain and listed in docs/design/diagnosis.md. What the source does not tell can be given; without it,
    what needs it is not judged, which the result says.

    Args:
        source: A `kertl.Run`; what Keras' `fit` returns, or its `history`, a mapping or a data frame of columns with at
            least `loss`; or a path: a run directory, a log of `keras.callbacks.CSVLogger`, history.csv, or a folder or
            file of TensorBoard events. Of a log with several trainings the last one counts, which `unknown` says.
        task: "single_label", "binary", "multi_label" or "regression".
        classes: Number of classes, of which each image has one; >= 2.
        validation_images: Number of validation images; >= 1.
        majority: Share of the validation images that the largest class has; 0 < share <= 1.
        learning_curve: What `kertl.learning_curve` returned, to tell bias from variance.

    Returns:
        The diagnosis: `verdict`, `sentence`, `evidence`, `next`, and `others`.

    Raises:
        ValueError: If the source is none of these or has no epoch in it, or an argument is out of range.
        RunError: If files of a run cannot be read.

    Example:
        >>> import kertl
        >>> history = {"loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05, 0.03], "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2, 1.4]}
        >>> found = kertl.diagnose(history)
        >>> found.verdict, found.evidence["from_epoch"]
        ('overfitting', 3.0)

    Reference:
        Goodfellow, Bengio & Courville, "Deep Learning", 2016, section 11.4.
        https://www.deeplearningbook.org/contents/guidelines.html
    """
    curves, known = read(source)
    given: dict[str, Any] = {}
    if task is not None:
        given["task"] = one_of("task", task, _TASKS)
    if classes is not None:
        given["classes"] = integer("classes", classes, at_least=2)
    if validation_images is not None:
        given["validation_images"] = integer("validation_images", validation_images, at_least=1)
    if majority is not None:
        given["majority"] = number("majority", majority, above=0, at_most=1)
    if learning_curve is not None and not hasattr(learning_curve, "reasons"):
        raise complain("learning_curve", "what kertl.learning_curve returned", learning_curve)
    found = judge(curves, dataclasses.replace(known, **given))
    return found if learning_curve is None else dataclasses.replace(found, learning_curve=_bias(learning_curve))


def judge(curves: Curves, known: Known) -> Diagnosis:
    """The diagnosis of curves by the rules."""
    worse = _worse_stage(curves, known)
    case = Case(curves, known, None if worse is None else worse.stage)
    findings: list[Finding] = []
    if worse is not None:
        findings.append(_finding("stage_made_it_worse", worse, _worse(worse)))
    for rule in _rules(case):
        found = rule(case)
        if found is not None:
            findings.append(_finding(rule.__name__, case, found))
    if not findings:
        findings.append(_nothing_wrong(case))
    return Diagnosis(tuple(findings), len(curves), _unknown(case))


def _rules(case: Case) -> tuple[Callable[[Case], training.Found | None], ...]:
    if training.diverged(case) is not None:
        return (training.diverged,)
    if case.validation is None:
        return _OF_TRAINING + _ALONE
    if not case.small:
        return _OF_TRAINING + _OF_VALIDATION
    first = _OF_VALIDATION.index(validation.validation_too_small)
    others = tuple(rule for rule in _OF_VALIDATION[first:] if rule not in _ALONE)
    return _OF_TRAINING + _OF_VALIDATION[:first] + _ALONE + others


def _finding(verdict: str, case: Case, found: training.Found) -> Finding:
    sentence, evidence = found
    return Finding(verdict, sentence, evidence, advice(verdict, case))


def _nothing_wrong(case: Case) -> Finding:
    if case.validation is None:
        told = "There is no validation loss, so nothing can be said about the fit.", {"training_loss": case.train_end}
        return _finding("no_validation", case, told)
    if case.epochs < _SHORT and not case.solved:
        told = (
            f"{counted(case.epochs, 'epoch')} {'is' if case.epochs == 1 else 'are'} too few to tell.",
            {"epochs": float(case.epochs)},
        )
        return _finding("too_short", case, told)
    return _finding("good_fit", case, validation.good_fit(case))


def _worse_stage(curves: Curves, known: Known) -> Case | None:
    """The stage before the last, if the last one made the model worse; stages with other losses are not compared."""
    stages = np.unique(curves.stages)
    if len(stages) < 2 or curves.column("val_loss") is None or not _alike(known):
        return None
    *before, last = [Case(curves, known, int(stage)) for stage in stages]
    before = [case for case in before if case.validation is not None]
    if not before or last.validation is None or last.validation_lost is not None:
        return None
    best = min(before, key=lambda case: case.lowest)
    return best if _of_model(last) > _of_model(best) * (1 + _WORSE) + best.noise else None


def _of_model(case: Case) -> float:
    """The validation loss of the model that a stage leaves: a run gives the best epoch, a plain `fit` the last one."""
    return case.lowest if case.known.recipe else case.validation_end


def _alike(known: Known) -> bool:
    """Whether the losses of all stages measure the same."""
    stages = known.recipe.stages if known.recipe else ()
    return len({(stage.loss, stage.label_smoothing, stage.l2_sp) for stage in stages}) <= 1


def _worse(best: Case) -> training.Found:
    last = Case(best.whole, best.known)
    sentence = (
        f"Stage {last.stage + 1} made it worse: it left a validation loss of {_of_model(last):.4g}, after "
        f"{_of_model(best):.4g} in stage {best.stage + 1}."
    )
    return sentence, {"before": _of_model(best), "after": _of_model(last)}


def _unknown(case: Case) -> tuple[str, ...]:
    """What could not be judged, and what it would take."""
    found = []
    if case.known.rows_left_out:
        left_out = counted(case.known.rows_left_out, "row")
        found.append(f"{left_out} whose epochs were trained again later (pass an earlier training as a log of its own)")
    if case.validation is not None:
        measured = int(np.flatnonzero(~np.isnan(case.losses))[-1]) + 1
        if measured <= case.epochs - _SHORT and case.validation_lost is None:
            found.append(f"validation after epoch {case.first_epoch + measured}, the last that has a validation loss")
        if case.validation_images is None:
            found.append("the size of the validation set (pass `validation_images`)")
        if case.chance is None and case.known.task != "regression":
            found.append("the distance from guessing (pass `task` and `classes`)")
        if case.known.test_accuracy is None and case.known.test_error is None:
            found.append("leaks (a run with a test set shows them)")
    if case.curves.column(f"{INFERENCE}loss") is None and case.validation is not None:
        found.append("whether training and inference agree (`kertl.callbacks.Diagnose(images)` measures it)")
    return tuple(found)


def _bias(curve: Any) -> str:
    """Bias or variance, from a learning curve."""
    kinds = {"more data": "variance dominates. ", "more model": "bias dominates. "}
    return f"{kinds.get(curve.advice, '')}{curve.reasons}"
