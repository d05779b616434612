"""When a classifier does not answer, and how many classes it names so that the right one is among them.

What is chosen is chosen on validation images, and is promised for images of the same kind: drawn as these were.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kertl._checks import complain, number
from kertl.evaluation._labels import checked_predictions, matched, output_names
from kertl.evaluation._predict import predict
from kertl.evaluation._thresholds import thresholds_of
from kertl.model import task_of
from kertl.tasks import task_named

if TYPE_CHECKING:
    import keras

    from kertl.data import ImageDataset

_CONFIDENCE = 0.95  # with which the risk is at most what was asked for


@dataclasses.dataclass(frozen=True)
class Caution:
    """How cautious a classifier is, as `cautious` chooses it.

    Attributes:
        class_names: The classes, in the order of the outputs.
        decides: For a yes-or-no question the probability from which on the second class is the answer; else None.
        least: It abstains where the class it would name has a lower probability than this; None to answer always.
        set_level: A set of classes has those whose probability reaches this; None for no sets.
        risk: The share of wrong answers among those given that was asked for; None if it was not.
        coverage: The share of images whose set has the right class that was asked for; None if it was not.
        answered: The share of the validation images on which it answers; None if `least` was given.
    """

    class_names: tuple[str, ...]
    decides: float | None = None
    least: float | None = None
    set_level: float | None = None
    risk: float | None = None
    coverage: float | None = None
    answered: float | None = None

    def abstains(self, predictions: np.ndarray) -> np.ndarray:
        """For each row of predictions whether it abstains."""
        if self.least is None:
            return np.zeros(len(predictions), bool)
        return _confidence(predictions, self.decides)[1] < self.least

    def sets(self, predictions: np.ndarray) -> list[list[str]]:
        """For each row of predictions the classes that it may be, the likeliest first; without `set_level` all."""
        of_classes = _of_classes(predictions)
        order = (-of_classes).argsort(axis=1, kind="stable")
        level = 0.0 if self.set_level is None else self.set_level
        return [
            [self.class_names[place] for place in places if row[place] >= level]
            for row, places in zip(of_classes, order, strict=True)
        ]

    def doubts(self, predictions: np.ndarray) -> list[dict[str, Any]]:
        """For each row of predictions `abstains` and `set`, where they were asked for, in values that JSON takes."""
        said: list[dict[str, Any]] = [{} for _ in predictions]
        if self.least is not None:
            said = [{"abstains": bool(one)} for one in self.abstains(predictions)]
        if self.set_level is None:
            return said
        return [{**one, "set": names} for one, names in zip(said, self.sets(predictions), strict=True)]

    @staticmethod
    def cells(doubt: dict[str, Any]) -> dict[str, str]:
        """One of `doubts` as columns of a table: "yes" or "no", and the classes of a set with semicolons between."""
        texts = {True: "yes", False: "no"}
        return {k: "; ".join(v) if isinstance(v, list) else texts[v] for k, v in doubt.items()}


def cautious(
    model: "keras.Model",
    validation: "ImageDataset | None" = None,
    *,
    least: float | None = None,
    risk: float | None = None,
    coverage: float | None = None,
    predictions: np.ndarray | None = None,
) -> Caution:
    """Choose when a classifier abstains, and how its sets of classes are made.

    With `risk`, the lowest probability is chosen from which on, with a confidence of 95 %, at most this share of the
    answers is wrong. With `coverage`, sets are split conformal: the right class is in the set for this share of images,
    on average over validation sets. A set may be empty, where no class is likely enough. Both hold for images like the
    validation images; that training stopped at its best on these makes them a little too favourable.

    Args:
        model: A model for "single_label" or "binary".
        validation: Images that it was not trained on, with labels; needed for `risk` and `coverage`.
        least: Abstain where the probability of the class predicted is below this; 0 < least <= 1. Not with `risk`.
        risk: 0 < risk < 1.
        coverage: 0 < coverage < 1.
        predictions: The result of `kertl.predict` for the validation images, if you have it already.

    Raises:
        DataError: If the images have a class that the model does not know.
        ValueError: If an argument is not as described, the validation images are too few for the coverage, or no
            probability promises the risk.

    Reference:
        Geifman & El-Yaniv, "Selective Classification for Deep Neural Networks", 2017, algorithm 1.
        https://arxiv.org/abs/1705.08500
        Sadinle, Lei & Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", 2019.
        https://arxiv.org/abs/1609.00451
    """
    task = task_named(task_of(model))
    if not task.one_class:
        raise complain("model", "for 'single_label' or 'binary', where an image has one class", task.name)
    if least is not None:
        number("least", least, above=0, at_most=1)
    for name, value in (("risk", risk), ("coverage", coverage)):
        if value is not None:
            number(name, value, above=0, below=1)
    if least is not None and risk is not None:
        raise complain("least", "None with `risk`, which chooses it", least)
    decides = float(thresholds_of(model, 1)[0]) if task.has_thresholds else None
    chosen = Caution(tuple(output_names(model)), decides, least, risk=risk, coverage=coverage)
    if risk is None and coverage is None:
        return chosen
    if validation is None:
        raise complain("validation", "images with labels, on which `risk` and `coverage` are chosen", validation)
    truth = np.asarray(matched(model, validation).labels).reshape(-1).astype(int)
    said = predict(model, validation) if predictions is None else predictions
    said = checked_predictions(model, said, len(truth))
    changes: dict[str, Any] = {}
    if coverage is not None:
        changes["set_level"] = conformal_level(_of_classes(said)[np.arange(len(truth)), truth], coverage)
    if risk is not None:
        decided, confidence = _confidence(said, decides)
        changes["least"] = least_for_risk(confidence, decided != truth, risk)
        changes["answered"] = float((confidence >= changes["least"]).mean())
    return dataclasses.replace(chosen, **changes)


def conformal_level(of_right: np.ndarray, coverage: float) -> float:
    """The probability from which on a class is in the set, so that the right one is in it for that share of images.

    Args:
        of_right: For each validation image, the probability that it gives to its right class.
        coverage: The share.
    """
    count = len(of_right)
    rank = math.ceil(round((count + 1) * coverage, 9))
    if rank > count:
        needed = math.ceil(round(coverage / (1 - coverage), 9))
        raise complain("coverage", f"such that {count} validation images suffice (it takes {needed})", coverage)
    return float(np.sort(of_right)[::-1][rank - 1])


def least_for_risk(confidence: np.ndarray, wrong: np.ndarray, risk: float) -> float:
    """The lowest confidence above which the share of wrong answers is at most `risk`, with a confidence of 95 %.

    Args:
        confidence: The probability of the class predicted, for each validation image.
        wrong: Whether that is not the right one.
        risk: The share.
    """
    levels = np.sort(confidence)
    steps = math.ceil(math.log2(len(levels))) + 1
    low, high, found = 0, len(levels) - 1, None
    while low <= high:
        middle = (low + high) // 2
        among = confidence >= levels[middle]
        if _most(int(wrong[among].sum()), int(among.sum()), (1 - _CONFIDENCE) / steps) <= risk:
            found, high = float(levels[middle]), middle - 1
        else:
            low = middle + 1
    if found is None:
        advice = f"Of the surest of {len(levels)} validation answers too many are wrong, or they are too few to tell."
        raise complain("risk", "one that some answers keep to", risk, advice)
    return found


def _most(wrong: int, count: int, tail: float) -> float:
    """The upper bound of Clopper and Pearson for a share of which `wrong` of `count` were seen."""
    from scipy.stats import beta

    return 1.0 if wrong == count else float(beta.ppf(1 - tail, wrong + 1, count - wrong))


def _of_classes(predictions: np.ndarray) -> np.ndarray:
    """A probability for each class; a yes-or-no question has two."""
    return np.hstack([1 - predictions, predictions]) if predictions.shape[1] == 1 else predictions


def _confidence(predictions: np.ndarray, decides: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The class predicted, and its probability."""
    of_classes = _of_classes(predictions)
    decided = of_classes.argmax(axis=1) if decides is None else (predictions[:, 0] >= decides).astype(int)
    return decided, of_classes[np.arange(len(of_classes)), decided]
