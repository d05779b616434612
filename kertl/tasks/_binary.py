"""A yes-or-no question: two classes, of which the second is the positive one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kertl.tasks._one_class import OneClass, both_classes, class_ids, judge_classes
from kertl.tasks._scores import by_counts, ranking_score
from kertl.tasks._task import Answer, LossMaker, focal_yes_no

if TYPE_CHECKING:
    import keras


class Binary(OneClass):
    """Two classes: one sigmoid, the probability of the second; labels are a column of 0 and 1."""

    name = "binary"
    activation = "sigmoid"
    most = 2
    has_thresholds = True
    losses: ClassVar[Mapping[str, LossMaker]] = {"focal": focal_yes_no}

    def outputs(self, num_classes: int) -> int:
        """One for both classes."""
        return 1

    def told_by(self, activation: str, outputs: int) -> bool:
        """See `Task`."""
        return activation == "sigmoid" and outputs == 1

    def loss(self, smoothing: float, spreads: Sequence[float] | None = None) -> "keras.losses.Loss":
        """Binary cross-entropy."""
        import keras

        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)

    def metrics(self) -> "list[keras.metrics.Metric]":
        """Accuracy and AUC."""
        from kertl.tasks._metrics import YesNoAccuracy, YesNoAUC

        return [YesNoAccuracy(), YesNoAUC()]

    def placed(self, labels: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
        """See `Task`."""
        return places[class_ids(labels)].astype(np.float32)[:, None]

    def decisions(self, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """See `Task`."""
        return (predictions[:, :1] >= thresholds[0]).astype(int)

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
        positive, ids = predictions[:, 0], class_ids(truth)
        guesses = self.decisions(predictions, thresholds)[:, 0]
        found = judge_classes(ids, both_classes(predictions), guesses, names)
        (_, (missed, hits)), told = found["confusion"], int(guesses.sum())
        ranking = {} if quick else {"auc": ranking_score("roc_auc_score", ids, positive)}
        return {
            **found,
            "f1": float(by_counts(np.array(hits), np.array(told), np.array(missed + hits))[2]),
            **ranking,
            "thresholds": self.by_threshold(names, thresholds),
        }

    def by_threshold(self, names: Sequence[str], thresholds: Sequence[float] | np.ndarray) -> dict[str, float]:
        """The one threshold belongs to the second class."""
        return super().by_threshold(names[1:], thresholds)

    def answer(self, row: np.ndarray, names: Sequence[str], thresholds: np.ndarray, top: int) -> Answer:
        """The class, and the probability of the second one."""
        label = names[int(row[0] >= thresholds[0])]
        return {"label": label, "positive": names[1], "probability": float(row[0])}

    def cells(self, answer: Answer) -> dict[str, str]:
        """`label`, `positive` (the second class) and its `probability`."""
        return {**answer, "probability": f"{answer['probability']:.6f}"}

    def words(self, answer: Answer) -> dict[str, str]:
        """The class, and the probability of the second one."""
        return {"label": answer["label"], f"probability of {answer['positive']}": f"{answer['probability']:.4f}"}
