"""The common part of the tasks in which every image has exactly one class."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from kertl.tasks._scores import by_counts, crossentropy, logarithms
from kertl.tasks._task import Task


class OneClass(Task):
    """Every image has exactly one of the classes."""

    fewest = 2
    one_class = True
    part_columns: ClassVar[Mapping[str, str]] = {
        "accuracy": "accuracy",
        "balanced": "balanced_accuracy",
        "macro F1": "macro_f1",
        "majority class": "majority",
    }
    row_columns: ClassVar[Mapping[str, str]] = {"precision": "precision", "recall": "recall"}

    @abc.abstractmethod
    def decisions(self, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """The class ids, shape `(images, 1)`."""

    def scores(self, truth: np.ndarray, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """1 for each image that is predicted correctly, else 0."""
        return (self.decisions(predictions, thresholds)[:, 0] == class_ids(truth)).astype(np.float64)

    def constant_score(self, truth: np.ndarray) -> float:
        """See `Task`."""
        return float(np.bincount(class_ids(truth)).max() / len(truth))

    def members(self, labels: np.ndarray, count: int) -> np.ndarray:
        """See `Task`."""
        return class_ids(labels)[:, None] == np.arange(count)

    def image_losses(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """See `Task`."""
        ids, probabilities = class_ids(truth), both_classes(predictions)
        return logarithms(probabilities[np.arange(len(ids)), ids])

    def label_text(self, row: np.ndarray, names: Sequence[str]) -> str:
        """See `Task`."""
        return names[int(class_ids(row)[0])]


def both_classes(predictions: np.ndarray) -> np.ndarray:
    """Probabilities of all classes, shape `(images, classes)`; where one column is predicted, that of the second."""
    return predictions if predictions.shape[1] > 1 else np.concatenate([1 - predictions, predictions], axis=1)


def class_ids(labels: np.ndarray) -> np.ndarray:
    """Class ids of shape `(n,)` from labels as ids or as one column."""
    return np.asarray(labels).astype(np.int64).ravel()


def judge_classes(
    truth: np.ndarray, probabilities: np.ndarray, guesses: np.ndarray, names: Sequence[str]
) -> dict[str, Any]:
    """How well predicted classes match the true ones, and the predicted probability of the true ones.

    Args:
        truth: Class ids, shape `(images,)`.
        probabilities: Shape `(images, classes)`.
        guesses: Class ids, shape `(images,)`.
        names: The classes.
    """
    classes = len(names)
    confusion = np.bincount(truth * classes + guesses, minlength=classes**2).reshape(classes, classes)
    count = confusion.sum(axis=1)
    precision, recall, f1 = by_counts(np.diag(confusion), confusion.sum(axis=0), count)
    seen = count > 0
    return {
        "images": len(truth),
        "accuracy": float(np.mean(guesses == truth)),
        "balanced_accuracy": float(recall[seen].mean()),
        "macro_f1": float(f1[seen].mean()),
        "crossentropy": crossentropy(probabilities[np.arange(len(truth)), truth]),
        "majority": float(count.max() / len(truth)),
        "classes": {
            name: {"precision": float(precision[i]), "recall": float(recall[i]), "images": int(count[i])}
            for i, name in enumerate(names)
        },
        "confusion": confusion.tolist(),
    }
