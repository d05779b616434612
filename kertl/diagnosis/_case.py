"""The numbers that the rules look at, computed from the curves of a training."""

import math
from functools import cached_property

import numpy as np

from kertl.diagnosis._curves import INFERENCE, Curves, Known
from kertl.recipe import Stage

_LAST = 3
_TINY = 1e-12
_ENOUGH = 50
_FEW, _WIDE = 30, 0.1
_SETTLED = 0.03
_FOLLOWS = 1.6


class Case:
    """A training as the rules see it: the curves of one stage, those of the whole run, and what is known besides.

    Losses are means over an epoch; `V` (validation) is measured at its end. The end of a curve is the median of its
    last three epochs, which one odd epoch does not move.

    Args:
        whole: The curves of the whole run.
        known: What is known besides.
        stage: The stage that is judged; the last one by default.
    """

    def __init__(self, whole: Curves, known: Known, stage: int | None = None) -> None:
        self.whole, self.known = whole, known
        self.stage = int(whole.stages[-1]) if stage is None else stage
        self.curves = whole.rows_of(whole.stages == self.stage)
        self.first_epoch = int(np.argmax(whole.stages == self.stage))
        self.train = self.curves.columns["loss"]
        self.validation = self.curves.column("val_loss")
        self.epochs = len(self.train)

    @property
    def losses(self) -> np.ndarray:
        """The validation losses of a case that has them."""
        assert self.validation is not None
        return self.validation

    @cached_property
    def chance(self) -> float | None:
        """The loss of the best prediction that does not look at the image; None if it is not known.

        The entropy of the classes' shares as far as they are known: of two classes with the larger one's share, on at
        least 50 images, else of equally many; for yes-or-no questions that of a coin.
        """
        known = self.known
        if self.plan is not None and self.plan.loss not in ("auto", "mse"):
            return None
        if known.baseline:
            return known.baseline
        if known.classes == 2 and known.majority and (known.validation_images or 0) >= _ENOUGH:
            return entropy(known.majority, 2)
        if known.classes:
            return math.log(known.classes)
        return math.log(2) if known.task in ("binary", "multi_label") else None

    @cached_property
    def start(self) -> float:
        """The loss that progress is measured from: by chance, or, where that is not known, of the run's first epoch."""
        first = [self.whole.columns[name][0] for name in ("loss", "val_loss") if name in self.whole.columns]
        return self.chance or float(np.nanmax(first))

    @property
    def plan(self) -> Stage | None:
        """The stage of the recipe that is judged; None if there is no recipe."""
        recipe = self.known.recipe
        return recipe.stages[self.stage] if recipe is not None and self.stage < len(recipe.stages) else None

    @property
    def solved(self) -> bool:
        """Whether no steps were taken, since the head is the exact minimum of its loss."""
        return self.plan is not None and self.plan.solver == "exact"

    @property
    def plain(self) -> bool:
        """Whether the training loss is that of the labels as they are: without smoothing, mixing or another loss."""
        plan = self.plan
        return plan is None or not (plan.label_smoothing or plan.mixup or plan.cutmix or plan.loss != "auto")

    @cached_property
    def train_end(self) -> float:
        """Training loss at the end."""
        return end(self.train)

    @cached_property
    def validation_end(self) -> float:
        """Validation loss at the end."""
        return end(self.losses)

    @cached_property
    def validation_lost(self) -> int | None:
        """The epoch from which on the validation loss is NaN or infinite, counted from 1 within the run; None if not.

        NaN may also stand for epochs without a validation, so as many in a row as there were before mean nothing.
        """
        validated = np.flatnonzero(self.curves.validated)
        if "val_loss" not in self.curves.columns or not len(validated):
            return None
        values = self.curves.columns["val_loss"][validated]
        finite = np.flatnonzero(np.isfinite(values))
        lost = int(finite[-1]) + 1 if len(finite) else 0
        gap = int(np.diff(finite, prepend=-1).max(initial=1)) - 1
        if lost == len(values) or (np.isnan(values[lost:]).all() and len(values) - lost <= gap):
            return None
        return self.first_epoch + int(validated[lost]) + 1

    @cached_property
    def best(self) -> int:
        """The epoch with the lowest validation loss, counted from 0 within the stage."""
        return int(np.nanargmin(self.losses))

    @cached_property
    def lowest(self) -> float:
        """The lowest validation loss."""
        return float(np.nanmin(self.losses))

    @cached_property
    def skill(self) -> float:
        """The share of the loss by chance that is removed, at the end: 0 for nothing learnt, 1 for a perfect fit.

        On training or on validation images, whichever is better: dropout and augmentation make training look worse.
        """
        ends = [self.train_end] if self.validation is None else [self.train_end, self.validation_end]
        return 1 - (float(np.nanmin(ends)) - self.floor) / max(self.start - self.floor, _TINY)

    @cached_property
    def floor(self) -> float:
        """The loss of a perfect prediction: 0, or with label smoothing the entropy of the smoothed labels."""
        smoothing, classes = (self.plan.label_smoothing if self.plan else 0.0), self.known.classes or 2
        if not smoothing or self.chance is None or self.known.task == "regression":
            return 0.0
        return entropy(1 - smoothing + smoothing / classes, classes)

    @cached_property
    def settled(self) -> bool:
        """Whether the validation loss, or that of training judged alone, has hardly moved in its last third."""
        return abs(self.improvement(self.train if self.alone else self.losses)) < _SETTLED

    @property
    def follows(self) -> bool:
        """Whether validation is not much worse than training."""
        return self.validation_end < _FOLLOWS * self.train_end

    @cached_property
    def roughness(self) -> float:
        """How much the training loss goes up on its way, as a share of all of its movement; 0 for a steady fall."""
        return _upwards(self.train)

    @cached_property
    def validation_roughness(self) -> float | None:
        """The same of the validation loss, which dropout and augmentation do not move; None without one."""
        return None if self.validation is None else _upwards(self.validation)

    @cached_property
    def noise(self) -> float:
        """How far the validation loss of an epoch is from the line between its neighbours, on average."""
        values = self.losses
        if len(values) < 3:
            return 0.0
        return float(np.abs(values[1:-1] - (values[:-2] + values[2:]) / 2).mean() * 2 / 3)

    @cached_property
    def accuracies(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Accuracy on training and on validation images by epoch, if there is one."""
        name = self.curves.accuracy
        return None if name is None else (self.curves.columns[name], self.curves.columns[f"val_{name}"])

    @cached_property
    def margin(self) -> float | None:
        """Half of the 95 % interval of the validation accuracy, after Agresti & Coull; None if it is not known."""
        images = self.validation_images
        if self.accuracies is None or not images:
            return None
        share = (end(self.accuracies[1]) * images + 2) / (images + 4)
        return 1.96 * math.sqrt(share * (1 - share) / (images + 4))

    @cached_property
    def validation_images(self) -> int | None:
        """How many there are: known, or the least number of which four or more accuracies are whole multiples."""
        if self.known.validation_images or self.accuracies is None or self.known.task == "multi_label":
            return self.known.validation_images
        shares = np.unique(self.accuracies[1].round(4))
        if len(shares) < 4:
            return None
        for images in range(2, 60):
            if np.abs(shares * images - (shares * images).round()).max() < images * 1e-4:
                return images
        return None

    @cached_property
    def small(self) -> bool:
        """Whether the validation set is known to be too small, or its accuracy too uncertain, to judge by."""
        images = self.validation_images
        return images is not None and (images < _FEW or (self.margin or 0) > _WIDE)

    @property
    def alone(self) -> bool:
        """Whether the training has to be judged without a validation set: there is none, or a small one."""
        return self.validation is None or self.small

    @staticmethod
    def improvement(values: np.ndarray) -> float:
        """How far a curve fell over its last third, as a share of what is left of it; medians of three epochs each."""
        middle = round(len(values) * 2 / 3) - 1
        before, after = end(values[: middle + 2]), end(values)
        return (before - after) / max(after, _TINY)

    @staticmethod
    def steadiness(values: np.ndarray) -> float:
        """How fast a curve falls in its last third, compared with all of it: 1 for a straight line, 0 if it settled."""
        steps = len(values) - 1
        last = max(1, round(steps / 3))
        whole = (values[0] - values[-1]) / max(steps, 1)
        return float((values[-1 - last] - values[-1]) / last / whole) if whole > 0 else 0.0

    @staticmethod
    def falling(values: np.ndarray) -> float:
        """The share of the epochs in which a curve falls."""
        return float((np.diff(values) < 0).mean()) if len(values) > 1 else 0.0

    @cached_property
    def rate(self) -> float | None:
        """The highest learning rate of the stage; None if it is not known."""
        return None if self.curves.rates is None else float(np.nanmax(self.curves.rates))

    @cached_property
    def warms_up(self) -> bool:
        """Whether the rate of the last epoch is the highest so far, and was raised to it."""
        rates = self.curves.rates
        return rates is not None and bool(rates[-1] >= np.nanmax(rates) > 1.1 * rates[0])

    @cached_property
    def inference(self) -> np.ndarray | None:
        """The loss of training images in inference mode by epoch, if it was measured."""
        return self.curves.column(f"{INFERENCE}loss")


def _upwards(values: np.ndarray) -> float:
    moves = np.diff(values)
    return float(moves[moves > 0].sum() / max(np.abs(moves).sum(), _TINY))


def end(values: np.ndarray) -> float:
    """The median of the last three values; where none of these was measured, of the last three that were."""
    measured = ~np.isnan(values)
    last = values[-_LAST:][measured[-_LAST:]]
    chosen = last if len(last) else values[measured][-_LAST:]
    return float(np.median(chosen)) if len(chosen) else math.nan


def entropy(share: float, classes: int) -> float:
    """The loss, in nats, of a prediction that gives one class its share and divides the rest evenly."""
    share = min(max(share, 1e-9), 1 - 1e-9)
    return -share * math.log(share) - (1 - share) * math.log((1 - share) / max(classes - 1, 1))
