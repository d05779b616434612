"""The rules that compare training with validation.

Each gives a sentence and its evidence if it applies, else None. docs/design/diagnosis.md lists the thresholds.
"""

import math

import numpy as np

from kertl.diagnosis._case import Case, end, entropy
from kertl.diagnosis._training_rules import Found

_FEW = 30
_MODE = 0.5
_LAGS = 0.05
_MOSTLY = 0.7
_BETTER_THAN_TEST = 4.0
_ERROR_OF_TEST = 1.5
_EVEN, _EVEN_OF_TWO = 0.8, 0.86
_HALF, _SURE = 0.5, 0.9
_LABELS_DROP = 2.0
_RISE = 0.15
_TIMES = 4.0
_GAP = 0.1
_NARROW_GAP = 0.045
_STILL = 0.04
_STEADY = 0.25
_FALLS = 0.6


def batch_norm(case: Case) -> Found | None:
    """Images that were trained on are predicted worse in inference mode than in training mode."""
    train, inference = case.train_end, case.inference
    if inference is not None:
        there, between = end(inference), case.validation_end - train
        if there > 1.5 * train and there - train > 0.1 * case.start and there - train > _MODE * between:
            sentence = (
                f"Training and inference disagree: the same training images have a loss of {train:.4g} in training "
                f"mode and of {there:.4g} in inference mode; BatchNorm's stored statistics are not those of the data."
            )
            return sentence, {"training_mode": train, "inference_mode": there, "validation_loss": case.validation_end}
        return None
    if case.chance is not None and train < 0.5 * case.chance and case.lowest > 0.95 * case.chance:
        sentence = (
            f"Validation was never better than guessing (lowest loss {case.lowest:.4g}) while training went well "
            f"({train:.4g}): in inference mode the model is probably another one, as with BatchNorm whose statistics "
            f"have not settled."
        )
        return sentence, {"training_loss": train, "lowest_validation_loss": case.lowest}
    lags = case.epochs > 3 and case.improvement(case.losses) > _LAGS and case.falling(case.losses) > _MOSTLY
    if lags and train < 0.15 * case.start and case.validation_end > 3 * train + 0.05 * case.start:
        sentence = (
            f"Validation lags: its loss still falls at {case.validation_end:.4g} where that of training has long been "
            f"{train:.4g}, as with BatchNorm whose stored statistics take long to settle."
        )
        return sentence, {"training_loss": train, "validation_loss": case.validation_end}
    return None


def leak(case: Case) -> Found | None:
    """Validation is much better than the test set."""
    known = case.known
    if known.validation_accuracy is not None and known.test_accuracy is not None:
        pairs = (known.validation_accuracy, known.validation_images), (known.test_accuracy, known.test_images)
        variance = sum(_variance(share, images) for share, images in pairs)
        difference = known.validation_accuracy - known.test_accuracy
        if difference > _BETTER_THAN_TEST * math.sqrt(variance):
            sentence = (
                f"A leak is suspected: the accuracy is {known.validation_accuracy:.4f} on the validation set and "
                f"{known.test_accuracy:.4f} on the test set, so validation images probably resemble training images."
            )
            return sentence, {"validation": known.validation_accuracy, "test": known.test_accuracy}
    if known.validation_error and known.test_error and (known.validation_images or 0) >= _FEW:
        times = known.test_error / known.validation_error
        if times > _ERROR_OF_TEST:
            sentence = (
                f"A leak is suspected: the error on the test set is {times:.1f} times that on the validation set, "
                f"whose images probably resemble training images."
            )
            return sentence, {"validation": known.validation_error, "test": known.test_error}
    return None


def _variance(share: float, images: int | None) -> float:
    """Of an accuracy, after Agresti & Coull."""
    count = (images or 0) + 4
    share = (share * (count - 4) + 2) / count
    return share * (1 - share) / count


def validation_too_small(case: Case) -> Found | None:
    """The validation set is too small, or its loss too noisy, to tell a good epoch from a bad one."""
    images = case.validation_images
    if images is None or not case.small:
        return None
    evidence = {"validation_images": float(images)}
    interval = ""
    if case.margin is not None and case.accuracies is not None:
        accuracy = end(case.accuracies[1])
        evidence |= {"accuracy": accuracy, "interval": case.margin}
        interval = f": its accuracy at the end, {accuracy:.2f}, is known to within ±{case.margin:.2f}"
        interval += _against_guessing(case)
    sentence = f"The validation set, of {images} images, is too small to tell{interval}."
    if math.isfinite(case.skill):
        evidence |= {"training_loss": case.train_end, "skill": case.skill}
        sentence += f" Training by itself ended with a loss of {case.train_end:.4g}; guessing has {case.start:.4g}."
    return sentence, evidence


def _against_guessing(case: Case) -> str:
    """Whether a validation accuracy is above that of always naming the largest class, by more than its uncertainty."""
    known = case.known
    guessed = known.majority or (1 / known.classes if known.classes else None)
    if guessed is None or case.accuracies is None or case.margin is None:
        return ""
    above = end(case.accuracies[1]) - case.margin > guessed
    return f", {'above' if above else 'not surely above'} the {guessed:.2f} of always naming the largest class"


def label_noise(case: Case) -> Found | None:
    """The model is as unsure of every image, or unlearns as it learns its images by heart."""
    if case.accuracies is None or case.known.task in ("multi_label", "regression") or case.epochs < 6:
        return None
    train, validation = case.accuracies
    classes = case.known.classes or (2 if case.known.task == "binary" else None)
    if classes is None:
        return None
    best = float(np.median(np.sort(validation)[-3:]))
    drop, margin = best - end(validation), case.margin or 0.05
    if drop > _LABELS_DROP * margin / 1.96 and train[-1] > best + 2 * margin and case.lowest > 0.5 * case.start:
        sentence = (
            f"Wrong labels are suspected: validation accuracy fell from {best:.4f} to {end(validation):.4f} while that "
            f"on training images rose to {train[-1]:.4f}, which is what learning wrong labels by heart does."
        )
        return sentence, {"best_validation_accuracy": best, "validation_accuracy": end(validation), "drop": drop}
    accuracy = end(train)
    even = case.train_end / max(entropy(accuracy, classes), 1e-9)
    unsure = even > (_EVEN_OF_TWO if classes == 2 else _EVEN) and _HALF < accuracy < _SURE
    if case.plain and case.settled and unsure and case.skill > 0.1 and case.follows:
        sentence = (
            f"Wrong labels are suspected: the model is as unsure of every image ({even:.0%} of the loss that an "
            f"accuracy of {accuracy:.4f} has if no image is easier than another), which is what mixed-up labels do."
        )
        return sentence, {"evenness": even, "training_accuracy": accuracy, "training_loss": case.train_end}
    return None


def overfitting(case: Case) -> Found | None:
    """Validation got worse while training got better, or is much worse than training.

    Not where the head was solved: its penalty is the best there is on the validation set.
    """
    if case.solved:
        return None
    lowest, last = case.lowest, case.validation_end
    epoch = case.first_epoch + case.best + 1
    fell = case.train[case.best] - case.train_end
    evidence = {"from_epoch": float(epoch), "lowest_validation_loss": lowest, "validation_loss": last}
    evidence["training_loss"] = case.train_end
    if last > (1 + _RISE) * lowest and last - lowest > 3 * case.noise and fell > 0 and case.best < case.epochs - 3:
        sentence = (
            f"The model overfits from epoch {epoch} on: validation loss rose from {lowest:.4g} to {last:.4g} while "
            f"training loss fell to {case.train_end:.4g}."
        )
        return sentence, evidence
    if _gap(case):
        sentence = (
            f"The model overfits: it has a loss of {case.train_end:.4g} on training images and of {last:.4g} on "
            f"validation images."
        )
        return sentence, evidence
    return None


def _gap(case: Case) -> bool:
    """Whether training images are predicted much better than validation images."""
    times = case.validation_end / max(case.train_end, 1e-12)
    if case.validation_end - case.train_end < 0.05 * case.start:
        return False
    if case.accuracies is None:
        return times > _TIMES
    gap = end(case.accuracies[0]) - end(case.accuracies[1])
    wide = gap > _GAP and times > _TIMES / 2
    return wide or (gap > max(_NARROW_GAP, case.margin or 0) and times > _TIMES)


def still_improving(case: Case) -> Found | None:
    """Validation loss still falls at the end, and not much slower than before."""
    gain, steadiness = case.improvement(case.losses), case.steadiness(case.losses)
    steady = steadiness > _STEADY and case.falling(case.losses) > _FALLS
    if case.epochs < 4 or gain < _STILL or not steady or case.best < case.epochs - 2:
        return None
    sentence = (
        f"Training ended too early: validation loss, {case.losses[-1]:.4g}, fell in its last third {steadiness:.0%} as "
        f"fast as on the whole."
    )
    evidence = {"improvement": gain, "steadiness": steadiness, "validation_loss": float(case.losses[-1])}
    return sentence, evidence


def good_fit(case: Case) -> Found:
    """Nothing speaks against it."""
    sentence = (
        f"Nothing in the curves speaks against this fit: training ended with a loss of {case.train_end:.4g} and "
        f"validation with one of {case.validation_end:.4g}."
    )
    return sentence, {"training_loss": case.train_end, "validation_loss": case.validation_end, "skill": case.skill}
