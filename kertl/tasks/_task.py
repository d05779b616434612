"""What every task defines."""

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    import keras

# What `kertl.answers` returns for one image, in plain values.
Answer = dict[str, Any]
# Makes a loss from the amount of label smoothing and the standard deviations of the targets, of which it uses one.
LossMaker = Callable[[float, Sequence[float] | None], "keras.losses.Loss"]


class Task(abc.ABC):
    """One kind of question, and what a model needs to answer it.

    Attributes:
        name: Its name in arguments and files.
        activation: Activation of the last layer.
        output_of: What each output stands for, "class" or "target".
        outputs_of: The same for several, and the key of the results by name.
        fewest: Least number of classes or targets.
        most: Greatest number of them; None for any number.
        one_class: Whether every image has exactly one class.
        has_thresholds: Whether a probability has to reach a threshold to count as positive.
        needs_every_name: Whether data must have labels for every output of a model to be evaluated.
        score: The metric that is the mean of `scores`.
        constant: In words, the best prediction that is the same for all images.
        losses: The losses that a stage can name besides "auto".
        part_columns: The metrics of a part of the data that a table shows, by heading.
        row_columns: The metrics of one class or target that a table shows, by heading.
    """

    name: ClassVar[str]
    activation: ClassVar[str]
    output_of: ClassVar[str] = "class"
    outputs_of: ClassVar[str] = "classes"
    fewest: ClassVar[int] = 1
    most: ClassVar[int | None] = None
    one_class: ClassVar[bool] = False
    has_thresholds: ClassVar[bool] = False
    needs_every_name: ClassVar[bool] = False
    score: ClassVar[str] = "accuracy"
    constant: ClassVar[str] = "the largest class"
    losses: ClassVar[Mapping[str, LossMaker]]
    part_columns: ClassVar[Mapping[str, str]]
    row_columns: ClassVar[Mapping[str, str]]

    def outputs(self, num_classes: int) -> int:
        """Number of outputs of a model for so many classes or targets."""
        return num_classes

    @abc.abstractmethod
    def told_by(self, activation: str, outputs: int) -> bool:
        """Whether a model from elsewhere has this task if it ends in this activation and has so many outputs."""

    @abc.abstractmethod
    def loss(self, smoothing: float, spreads: Sequence[float] | None = None) -> "keras.losses.Loss":
        """The default loss.

        Args:
            smoothing: Label smoothing, if the task has it; 0 <= smoothing < 1.
            spreads: Standard deviation of each target, if there are targets.
        """

    @abc.abstractmethod
    def metrics(self) -> "list[keras.metrics.Metric]":
        """New metrics, named as they appear in the history."""

    @abc.abstractmethod
    def members(self, labels: np.ndarray, count: int) -> np.ndarray | None:
        """Whether each image has each of `count` classes, shape `(images, count)`; None if there are no classes."""

    def strata(self, labels: np.ndarray) -> list[tuple[str, ...]]:
        """For each image the values, besides its classes, by which a split is stratified."""
        return [()] * len(labels)

    def placed(self, labels: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
        """The same labels for another list of classes or targets.

        Args:
            labels: Labels of this task; if every image has one class, of any such task.
            places: The index of each class in that list.
            count: Length of that list.
        """
        wider = np.zeros((len(labels), count), np.float32)
        wider[:, places] = labels
        return wider

    @abc.abstractmethod
    def judge(
        self,
        truth: np.ndarray,
        predictions: np.ndarray,
        names: Sequence[str],
        thresholds: np.ndarray,
        *,
        quick: bool = False,
    ) -> dict[str, Any]:
        """How good predictions are, as `kertl.evaluate` gives it.

        Args:
            truth: The labels.
            predictions: The model's predictions, shape `(images, outputs)`.
            names: The classes or targets.
            thresholds: One per output; ignored if the task has none.
            quick: Whether to leave out what sorts the predictions, the metrics of rankings.
        """

    @abc.abstractmethod
    def image_losses(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """How wrong the prediction for each image is, shape `(images,)`; >= 0.

        Cross-entropy in nats (of several labels the mean); of targets the mean of the absolute errors, each in standard
        deviations of the labels.
        """

    @abc.abstractmethod
    def label_text(self, row: np.ndarray, names: Sequence[str]) -> str:
        """A label of one image in words."""

    @abc.abstractmethod
    def scores(self, truth: np.ndarray, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """One number per image, whose mean over the images is the metric `score` of `judge`; arguments as there."""

    def shares(self, truth: np.ndarray, predictions: np.ndarray, thresholds: np.ndarray) -> dict[str, np.ndarray]:
        """For each metric of `judge` that is a share of the images, whether each image counts; arguments as there."""
        return {self.score: self.scores(truth, predictions, thresholds)} if self.one_class else {}

    @abc.abstractmethod
    def constant_score(self, truth: np.ndarray) -> float:
        """The metric `score` of the best prediction that is the same for all images, see `constant`."""

    @abc.abstractmethod
    def decisions(self, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray | None:
        """What predictions decide, one row per image: class ids, or a yes or no per class; None if they are numbers."""

    def by_threshold(self, names: Sequence[str], thresholds: Sequence[float] | np.ndarray) -> dict[str, float]:
        """Thresholds by the name of the class that they belong to."""
        return dict(zip(names, map(float, thresholds), strict=True))

    @abc.abstractmethod
    def answer(self, row: np.ndarray, names: Sequence[str], thresholds: np.ndarray, top: int) -> Answer:
        """What the prediction for one image means, as `kertl.answers` gives it."""

    @abc.abstractmethod
    def cells(self, answer: Answer) -> dict[str, str]:
        """An answer as the columns of a CSV file."""

    @abc.abstractmethod
    def words(self, answer: Answer) -> dict[str, str]:
        """An answer as the columns of a table for people."""


def focal_yes_no(smoothing: float, spreads: Sequence[float] | None) -> "keras.losses.Loss":
    """The focal loss of yes-or-no questions."""
    from kertl.tasks._losses import focal_binary_crossentropy

    return focal_binary_crossentropy(smoothing)


def ranked(row: np.ndarray, places: Sequence[int] | np.ndarray, names: Sequence[str]) -> list[Answer]:
    """Some of the classes of a prediction, with their probabilities."""
    return [{"class": names[place], "probability": float(row[place])} for place in places]


def listed(places: Sequence[Answer]) -> str:
    """Classes and probabilities in one line."""
    return ", ".join(f"{place['class']} {place['probability']:.4f}" for place in places)
