"""One or several numbers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kertl.tasks._scores import ERRORS, mean
from kertl.tasks._task import Answer, LossMaker, Task

if TYPE_CHECKING:
    import keras


def _named(kind: str) -> LossMaker:
    def made(smoothing: float, spreads: Sequence[float] | None) -> "keras.losses.Loss":
        from kertl.tasks._losses import StandardizedError

        return StandardizedError(spreads or 1.0, kind)

    return made


class Regression(Task):
    """Numbers, called targets: a linear output for each; labels are rows of numbers."""

    name = "regression"
    activation = "linear"
    score = "mae"
    constant = "the median of each target"
    output_of = "target"
    outputs_of = "targets"
    needs_every_name = True
    losses: ClassVar[Mapping[str, LossMaker]] = {kind: _named(kind) for kind in ERRORS}
    part_columns: ClassVar[Mapping[str, str]] = {"MAE": "mae", "RMSE": "rmse", "R²": "r2"}
    row_columns: ClassVar[Mapping[str, str]] = {"MAE": "mae", "RMSE": "rmse", "R²": "r2"}

    def told_by(self, activation: str, outputs: int) -> bool:
        """Never: a linear output may be a classifier's logits as well."""
        return False

    def loss(self, smoothing: float, spreads: Sequence[float] | None = None) -> "keras.losses.Loss":
        """Squared error in units of the standard deviations."""
        return _named("mse")(smoothing, spreads)

    def metrics(self) -> "list[keras.metrics.Metric]":
        """Mean absolute error and root of the mean squared error.

        R² is left to `kertl.evaluate`: Keras sums squares of the targets in float32, which for a target of 100,000 ± 1
        loses all precision.
        """
        import keras

        return [keras.metrics.MeanAbsoluteError(name="mae"), keras.metrics.RootMeanSquaredError(name="rmse")]

    def members(self, labels: np.ndarray, count: int) -> None:
        """There are no classes."""

    def strata(self, labels: np.ndarray) -> list[tuple[str, ...]]:
        """Small and large numbers are divided evenly."""
        return quantile_bins(labels)

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
        truth, predictions = truth.astype(np.float64), predictions.astype(np.float64)
        errors, total = predictions - truth, ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
        targets = {
            name: {
                "mae": float(np.abs(errors[:, k]).mean()),
                "rmse": float(np.sqrt((errors[:, k] ** 2).mean())),
                "r2": float(1 - (errors[:, k] ** 2).sum() / total[k]) if total[k] > 0 else None,
            }
            for k, name in enumerate(names)
        }
        means = {metric: mean(row[metric] for row in targets.values()) for metric in ("mae", "rmse", "r2")}
        return {"images": len(truth), **means, "targets": targets}

    def image_losses(self, truth: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """See `Task`."""
        spread = truth.std(axis=0, dtype=np.float64)
        return np.asarray((np.abs(predictions - truth) / np.where(spread > 0, spread, 1.0)).mean(axis=1))

    def label_text(self, row: np.ndarray, names: Sequence[str]) -> str:
        """See `Task`."""
        return ", ".join(f"{name} {value:.6g}" for name, value in zip(names, row, strict=True))

    def decisions(self, predictions: np.ndarray, thresholds: np.ndarray) -> None:
        """None: the numbers are all there is."""

    def scores(self, truth: np.ndarray, predictions: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
        """The mean absolute error of each image over its targets."""
        return np.abs(predictions.astype(np.float64) - truth).mean(axis=1)

    def constant_score(self, truth: np.ndarray) -> float:
        """See `Task`."""
        truth = truth.astype(np.float64)
        return float(np.abs(truth - np.median(truth, axis=0)).mean())

    def answer(self, row: np.ndarray, names: Sequence[str], thresholds: np.ndarray, top: int) -> Answer:
        """The targets by name."""
        return {"targets": dict(zip(names, row.tolist(), strict=True))}

    def cells(self, answer: Answer) -> dict[str, str]:
        """A column per target."""
        return {name: f"{value:.9g}" for name, value in answer["targets"].items()}

    def words(self, answer: Answer) -> dict[str, str]:
        """A column per target."""
        return {name: f"{value:.6g}" for name, value in answer["targets"].items()}


def quantile_bins(values: np.ndarray) -> list[tuple[str, ...]]:
    """For each row the bin of each of its numbers, at most ten per column, equal numbers in one bin.

    Splitting evenly within the bins divides small and large numbers evenly among the parts.

    Args:
        values: Shape `(n, columns)`.

    Example:
        >>> quantile_bins(np.arange(40.0)[:, None])[::12]
        [('0: 0',), ('0: 1',), ('0: 2',), ('0: 3',)]
    """
    # Bins of fewer than ten cannot be split into three parts near enough to their fractions.
    count = max(1, min(10, len(values) // 10))
    columns = []
    for number, column in enumerate(values.T):
        edges = np.unique(np.quantile(column, np.arange(1, count) / count))
        columns.append([f"{number}: {place}" for place in np.searchsorted(edges, column, side="right")])
    return list(zip(*columns, strict=True))
