"""Any number of classes for each image, none included."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kertl.tasks._scores import by_counts, crossentropy, logarithms, mean, ranking_score
from kertl.tasks._task import Answer, LossMaker, Task, focal_yes_no, listed, ranked

if TYPE_CHECKING:
    import keras


class MultiLabel(Task):
    """A yes-or-no question per class: a sigmoid for each; labels are rows of 0 and 1."""

    name = "multi_label"
    activation = "sigmoid"
    has_thresholds = True
    constant = "the more frequent answer for each class"
    losses: ClassVar[Mapping[str, LossMaker]] = {"focal": focal_yes_no}
    part_columns: ClassVar[Mapping[str, str]] = {
        "all right": "exact",
        "macro F1": "macro_f1",
        "micro F1": "micro_f1",
        "AUC": "auc",
        "avg. precision": "average_precision",
    }
    row_columns: ClassVar[Mapping[str, str]] = {"precision": "precision", "recall": "recall", "F1": "f1", "AUC": "auc"}

    def told_by(self, activation: str, outputs: int) -> bool:
        """See `Task`."""
        return activation == "sigmoid" and outputs > 1

    def loss(self, smoothing: float, spreads: Sequence[float] | None = None) -> "keras.losses.Loss":
        """Binary cross-entropy."""
        import keras

        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)

    def metrics(self) -> "list[keras.metrics.Metric]":
        """Accuracy of the single answers, AUC, and F1 averaged over the classes."""
        from kertl.tasks._metrics import YesNoAccuracy, YesNoAUC, YesNoF1

        return [YesNoAccuracy(), YesNoAUC(), YesNoF1()]

    def members(self, labels: np.ndarray, count: int) -> np.ndarray:
        """See `Task`."""
        return np.asarray(labels) > 0

    def strata(self, labels: np.ndarray) -> list[tuple[str, ...]]:
        """Images without any class are divided evenly too."""
        return [("some",) if row.any() else ("none",) for row in self.members(labels, 0)]

    def decisions(self, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """See `Task`."""
        return predictions >= thresholds

    def scores(self, truth: np.ndarray, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """The share of the classes of each image that are predicted correctly."""
        return (self.decisions(predictions, thresholds) == (truth > 0)).mean(axis=1)

    def constant_score(self, truth: np.ndarray) -> float:
        """See `Task`."""
        shares = (truth > 0).mean(axis=0, dtype=np.float64)
        return float(np.maximum(shares, 1 - shares).mean())

    def shares(self, truth: np.ndarray, predictions: np.ndarray, thresholds: np.ndarray) -> dict[str, np.ndarray]:
        """The images with all labels correct."""
        return {"exact": (self.scores(truth, predictions, thresholds) == 1).astype(float)}

    def judge(
        self,
        truth: np.ndarray,
        predictions: np.ndarray,
        names: Sequence[str],
        thresholds: np.ndarray,
        *,
        quick: bool = False,
    ) -> dict[str, Any]:
        """See `Task`."""
        truth, guesses = truth > 0, self.decisions(predictions, thresholds)
        hits, told, true = (one.sum(axis=0) for one in (truth & guesses, guesses, truth))
        precision, recall, f1 = by_counts(hits, told, true)
        micro = by_counts(hits.sum(), told.sum(), true.sum())[2]
        classes: dict[str, dict[str, Any]] = {
            name: {
                "precision": float(precision[k]),
                "recall": float(recall[k]),
                "f1": float(f1[k]),
                **({} if quick else _ranked_one(truth[:, k], predictions[:, k])),
                "images": int(true[k]),
            }
            for k, name in enumerate(names)
        }
        seen = [row for row in classes.values() if row["images"]]
        rankings = () if quick else ("auc", "average_precision")
        return {
            "images": len(truth),
            "exact": float((guesses == truth).all(axis=1).mean()),
            "accuracy": float((guesses == truth).mean()),
            "micro_f1": float(micro),
            "macro_f1": mean(row["f1"] for row in seen),
            **{name: mean(row[name] for row in seen) for name in rankings},
            "crossentropy": crossentropy(np.where(truth, predictions, 1 - predictions)),
            "classes": classes,
            "thresholds": self.by_threshold(names, thresholds),
        }

    def image_losses(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """See `Task`."""
        return np.asarray(logarithms(np.where(truth > 0, predictions, 1 - predictions)).mean(axis=1))

    def label_text(self, row: np.ndarray, names: Sequence[str]) -> str:
        """See `Task`."""
        return ", ".join(name for name, value in zip(names, row, strict=True) if value > 0) or "(none)"

    def answer(self, row: np.ndarray, names: Sequence[str], thresholds: np.ndarray, top: int) -> Answer:
        """The classes that reach their threshold, the likeliest first."""
        places = [k for k in (-row).argsort(kind="stable") if row[k] >= thresholds[k]]
        return {"labels": ranked(row, places, names)}

    def cells(self, answer: Answer) -> dict[str, str]:
        """`labels` and `probabilities`, in one order, with ";" between."""
        return {
            "labels": ";".join(label["class"] for label in answer["labels"]),
            "probabilities": ";".join(f"{label['probability']:.6f}" for label in answer["labels"]),
        }

    def words(self, answer: Answer) -> dict[str, str]:
        """The classes with their probabilities."""
        return {"labels": listed(answer["labels"]) or "(none)"}


def _ranked_one(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """How well the probabilities of one class rank the images."""
    return {
        "auc": ranking_score("roc_auc_score", truth, probabilities),
        "average_precision": ranking_score("average_precision_score", truth, probabilities),
    }
