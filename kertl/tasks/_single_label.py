"""One class of several."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kertl.tasks._one_class import OneClass, class_ids, judge_classes
from kertl.tasks._task import Answer, LossMaker, listed, ranked

if TYPE_CHECKING:
    import keras


def _focal(smoothing: float, spreads: Sequence[float] | None) -> "keras.losses.Loss":
    from kertl.tasks._losses import FOCUS, SmoothedCrossentropy

    return SmoothedCrossentropy(smoothing, focus=FOCUS)


class SingleLabel(OneClass):
    """One class of several: a softmax over all of them; labels are class ids."""

    name = "single_label"
    activation = "softmax"
    losses: ClassVar[Mapping[str, LossMaker]] = {"focal": _focal}

    def told_by(self, activation: str, outputs: int) -> bool:
        """See `Task`."""
        return activation == "softmax"

    def loss(self, smoothing: float, spreads: Sequence[float] | None = None) -> "keras.losses.Loss":
        """Cross-entropy."""
        from kertl.tasks._losses import SmoothedCrossentropy

        return SmoothedCrossentropy(smoothing)

    def metrics(self) -> "list[keras.metrics.Metric]":
        """Accuracy."""
        from kertl.tasks._metrics import LabelAccuracy

        return [LabelAccuracy()]

    def placed(self, labels: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
        """See `Task`."""
        return places.astype(np.int32)[class_ids(labels)]

    def decisions(self, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """See `Task`."""
        return predictions.argmax(axis=1)[:, None]

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
        return judge_classes(truth, predictions, self.decisions(predictions, thresholds)[:, 0], names)

    def answer(self, row: np.ndarray, names: Sequence[str], thresholds: np.ndarray, top: int) -> Answer:
        """The likeliest classes, at most `top`."""
        return {"classes": ranked(row, (-row).argsort(kind="stable")[:top], names)}

    def cells(self, answer: Answer) -> dict[str, str]:
        """`class_1, probability_1, class_2, ...`."""
        return {
            f"{what}_{number}": place["class"] if what == "class" else f"{place['probability']:.6f}"
            for number, place in enumerate(answer["classes"], start=1)
            for what in ("class", "probability")
        }

    def words(self, answer: Answer) -> dict[str, str]:
        """The likeliest class, its probability, and the classes after it."""
        best, *others = answer["classes"]
        return {"class": best["class"], "probability": f"{best['probability']:.4f}", "then": listed(others)}
