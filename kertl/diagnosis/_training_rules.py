"""The rules that look at the training alone: whether it moves, and whether it stays where it is.

Each gives a sentence and its evidence if it applies, else None. docs/design/diagnosis.md lists the thresholds.
"""

import numpy as np

from kertl.diagnosis._case import Case, end, entropy

Found = tuple[str, dict[str, float]]

_FEW_EPOCHS = 4
_FAR_ABOVE_CHANCE = 3.0
_AS_AT_FIRST = 0.8
_PASSES = 1e-3
_ROUGH = 0.3
_HIGHER_THAN_BEFORE = 1.15
_STEADY = 0.4
_MOSTLY = 0.75
_LITTLE = 0.3
_NEAR_CHANCE = 0.85
_ONE_CLASS_LOSS = 0.6
_SAME = 1e-3
_ALIKE = 0.05
_LOW_SKILL = 0.45
_LOW_SKILL_OF_NUMBERS = 0.35
_NONE_LEARNT = 0.05


def diverged(case: Case) -> Found | None:
    """The loss is no number, or far above that of guessing at the end."""
    train = case.train
    finite = np.isfinite(train)
    if not finite.all():
        epoch = case.first_epoch + int(np.argmin(finite)) + 1
        return f"The training loss became NaN or infinite in epoch {epoch}.", {"epoch": epoch}
    if (lost := case.validation_lost) is not None:
        sentence = f"The validation loss became NaN or infinite in epoch {lost}, and stayed so."
        return sentence, {"epoch": lost, "training_loss": case.train_end}
    least = case.start if case.chance is not None else float(train.min())
    if case.epochs < _FEW_EPOCHS:
        return None
    if case.train_end > _FAR_ABOVE_CHANCE * least and case.train_end > _AS_AT_FIRST * train[0] and not _learnt(case):
        times = case.train_end / max(least, 1e-12)
        sentence = f"The training loss ended {times:.1f} times as high as it was at its best or as guessing gives."
        return sentence, {"training_loss": case.train_end, "times": times}
    return None


def _learnt(case: Case) -> bool:
    """Whether training images are predicted better than by guessing the largest class."""
    if case.accuracies is None or case.known.task == "multi_label":
        return False
    guessed = case.known.majority or 1 / (case.known.classes or 2)
    return bool(end(case.accuracies[0]) > guessed + 0.1)


def vanishing_gradients(case: Case) -> Found | None:
    """Next to nothing of the gradient arrives at the first layers, and the loss does not move."""
    norms = list(case.curves.gradient_norms.items())
    if len(norms) < 2 or case.skill > _LITTLE:
        return None
    (first, low), (last, high) = norms[0], norms[-1]
    share = float(np.nanmedian(low) / max(np.nanmedian(high), 1e-30))
    if share > _PASSES:
        return None
    sentence = (
        f"The gradient vanishes on its way: at {first} it is {share:.1e} of that at {last}, and the loss stays near "
        f"that of guessing."
    )
    return sentence, {"share": share, "training_loss": case.train_end}


def class_collapse(case: Case) -> Found | None:
    """Every image gets the same class."""
    recalls = [one for one in case.known.recalls if one > 0]
    if len(case.known.recalls) > 1 and len(recalls) == 1:
        sentence = "The model predicts one class for all validation images."
        return sentence, {"classes_predicted": 1.0, "classes": float(len(case.known.recalls))}
    if case.accuracies is None or case.epochs < _FEW_EPOCHS or case.known.task == "multi_label":
        return None
    train, validation = case.accuracies
    later = validation[1:]
    if np.ptp(later) > _SAME or np.ptp(train[1:]) > _ALIKE or abs(train[-1] - later[-1]) > 2 * _ALIKE:
        return None
    classes, majority = case.known.classes or 2, case.known.majority
    if later[-1] < 1 / classes - _SAME or (majority and abs(later[-1] - majority) > 2 * _SAME):
        return None
    if case.train_end < _ONE_CLASS_LOSS * entropy(float(later[-1]), classes):
        return None
    sentence = (
        f"The model seems to predict one class for all images: the validation accuracy has been {later[-1]:.4f} since "
        f"epoch {case.first_epoch + 2}, to the last image."
    )
    return sentence, {"validation_accuracy": float(later[-1]), "training_loss": case.train_end}


def rate_too_high(case: Case) -> Found | None:
    """Both losses go up and down and end above where they were, or were thrown far away and learnt nothing."""
    if case.epochs < _FEW_EPOCHS:
        return None
    least, rough = float(case.train.min()), case.roughness
    evidence = {"roughness": rough, "training_loss": case.train_end, "lowest_training_loss": least}
    if case.rate is not None:
        evidence["learning_rate"] = case.rate
    rises = case.train_end > _HIGHER_THAN_BEFORE * least and case.train_end > least + 0.02 * case.start
    follows = case.validation_roughness is None or case.validation_roughness > _ROUGH
    if rough > _ROUGH and rises and follows:
        sentence = (
            f"The learning rate is too high: {rough:.0%} of the movement of the training loss is upwards, and it ended "
            f"at {case.train_end:.4g}, after {least:.4g} in epoch {case.first_epoch + int(case.train.argmin()) + 1}."
        )
        return sentence, evidence
    if _jumps(case):
        sentence = (
            f"The learning rate is too high: the validation loss jumps between {float(np.nanmin(case.losses)):.4g} and "
            f"{float(np.nanmax(case.losses)):.4g}, and training is no better than guessing ({case.train_end:.4g})."
        )
        return sentence, evidence
    return None


def _jumps(case: Case) -> bool:
    """Whether nothing was learnt, and the validation loss was far above that of guessing or goes up and down."""
    if case.chance is None or case.validation is None or case.skill > 0.1:
        return False
    thrown = float(np.nanmax(case.losses)) > _FAR_ABOVE_CHANCE * max(case.chance, case.train_end, case.validation_end)
    rough = (case.validation_roughness or 0) > _ROUGH and case.noise > 0.01 * case.chance
    return thrown or (rough and not case.small)  # of a few images the loss goes up and down at any rate


def _creeps(case: Case, values: np.ndarray) -> bool:
    """Whether a loss falls little, steadily and to the end, and is far from gone."""
    fall = 1 - values[-1] / max(values[0], 1e-12)
    far = case.chance is None or values[-1] / case.start >= _NEAR_CHANCE
    return far and 0 < fall < _LITTLE and Case.steadiness(values) >= _STEADY and Case.falling(values) >= _MOSTLY


def rate_too_low(case: Case) -> Found | None:
    """The loss still falls as fast as at the beginning, and has come only a small part of the way.

    Not while a warm-up raises the rate.
    """
    if case.epochs < _FEW_EPOCHS or case.warms_up:
        return None
    curves = [case.train] if case.validation is None else [case.losses, *([case.train] if case.small else [])]
    values = next((one for one in curves if _creeps(case, one)), None)
    if values is None:
        return None
    fall = 1 - values[-1] / max(values[0], 1e-12)
    sentence = (
        f"The learning rate is too low: in {case.epochs} epochs the loss fell by {fall:.1%}, and it falls as steadily "
        f"at the end as at the beginning."
    )
    evidence = {"fall": float(fall), "loss": float(values[-1]), "steadiness": Case.steadiness(values)}
    return sentence, evidence if case.rate is None else {**evidence, "learning_rate": case.rate}


def plateau(case: Case) -> Found | None:
    """Training stopped getting better when the rate was cut, or long before the end."""
    rates = case.curves.rates
    if case.epochs < 8 or rates is None or case.rate is None:
        return None
    low = np.flatnonzero(rates < 0.2 * case.rate)
    cut = int(low[0]) if len(low) else case.epochs
    if cut < 2 or cut > case.epochs // 2 or np.nanmax(rates[cut:]) > 0.2 * case.rate:
        return None
    before, after = case.train[0] - case.train[cut - 1], case.train[cut] - case.train[-1]
    per_epoch = (after / (case.epochs - cut)) / max(before / max(cut - 1, 1), 1e-12)
    if before <= 0 or per_epoch > 0.1 or case.skill > 0.9:
        return None
    sentence = (
        f"Training is on a plateau since epoch {case.first_epoch + cut + 1}, when the learning rate was cut while the "
        f"loss was still falling."
    )
    return sentence, {"from_epoch": float(case.first_epoch + cut + 1), "training_loss": case.train_end}


def underfitting(case: Case) -> Found | None:
    """The losses have settled, and even training images are predicted badly, or no better than by guessing."""
    low = _LOW_SKILL_OF_NUMBERS if case.known.task == "regression" else _LOW_SKILL
    enough = case.epochs >= 6 or (case.solved and case.skill < _NONE_LEARNT)  # a solved head fits as well as it can
    if not enough or not case.settled or case.skill > low or not (case.alone or case.follows):
        return None
    evidence = {"training_loss": case.train_end, "skill": case.skill}
    sentence = f"The model underfits: training has settled at a loss of {case.train_end:.4g}"
    if case.validation is not None:
        evidence["validation_loss"] = case.validation_end
        sentence += f" and validation at one of {case.validation_end:.4g}"
    if case.skill < _NONE_LEARNT:
        sentence += f", no better than guessing ({case.start:.4g})."
    else:
        sentence += f"; {case.skill:.0%} of the loss of guessing is removed."
    return sentence, evidence
