"""One run through the learning rates, from the lowest to the highest or until the loss diverges."""

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kertl._checks import integer, number, one_of
from kertl.range_test._result import Curve
from kertl.range_test._suggest import passed_over

if TYPE_CHECKING:
    from kertl.range_test._rates import Rates

FEWEST_STEPS = 20
RAMPS = ("exponential", "linear")


class Ramp(keras.callbacks.Callback):
    """Sets the rate of each step and records the loss that the step reports; restores nothing.

    The arguments are those of `LRRangeTest`.

    Attributes:
        asked: The steps asked for.
        steps: The steps from the lowest rate to the highest.
        rates: The rates of the model's optimizer; must be set before training begins.
        seen: How many batches were trained on.
    """

    rates: "Rates"

    def __init__(
        self,
        start: float = 1e-7,
        end: float = 10.0,
        *,
        steps: int = 100,
        ramp: str = "exponential",
        smoothing: float = 0.95,
        divergence: float = 4.0,
    ) -> None:
        super().__init__()
        self.start = number("start", start, above=0)
        self.end = number("end", end, above=start)
        self.asked = self.steps = integer("steps", steps, at_least=FEWEST_STEPS)
        self.ramp = one_of("ramp", ramp, RAMPS)
        self.smoothing = number("smoothing", smoothing, at_least=0, below=1)
        self.divergence = number("divergence", divergence, above=1)
        self.seen = 0
        self._mean = 0.0
        self._points: list[tuple[float, float, float]] = []

    def curve(self, standing: "Ramp | None" = None) -> Curve:
        """The rates and their losses, next to those of another run over the same batches."""
        rates, raw, losses = np.array(self._points).reshape(-1, 3).T
        lost = [loss for _, loss, _ in standing._points[: len(raw)]] if standing else []
        return Curve(rates, raw, losses, self.steps, np.array(lost) if lost and len(lost) == len(raw) else None)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin at the lowest rate."""
        self.seen, self._mean, self._points = 0, 0.0, []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the rate and reset the metrics, so that the reported loss is of this batch alone."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()  # on JAX, variables hold nothing between the steps of an epoch
        self.model.reset_metrics()
        self._rate, self._first = self._rate_at(self.seen), batch
        self.rates.set(self._rate)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the loss; stop at the end of the ramp, or when the loss is not a number or diverges."""
        loss = float((logs or {})["loss"])
        self.seen += batch - self._first + 1  # several, where an execution has several steps
        if math.isfinite(loss):
            self._mean = self.smoothing * self._mean + (1 - self.smoothing) * loss
            smoothed = self._mean / (1 - self.smoothing ** (len(self._points) + 1))
            self._points.append((self._rate, loss, smoothed))
        if self.seen >= self.steps or not math.isfinite(loss) or self._diverges():
            self.model.stop_training = True

    def _rate_at(self, step: int) -> float:
        share = min(1.0, step / (self.steps - 1))
        if self.ramp == "linear":
            return float(self.start + share * (self.end - self.start))
        return float(self.start * (self.end / self.start) ** share)

    def _diverges(self) -> bool:
        """Whether the smoothed loss lies too far above its best, the first noisy steps not counted."""
        losses = [smoothed for _, _, smoothed in self._points[passed_over(self.steps) :]]
        if not losses:
            return False
        best = min(losses)
        # If losses can be negative, a multiple of the best means nothing: then the fall counts.
        size = best if best > 0 else max(-best, self._points[0][2] - best)
        return losses[-1] > best + (self.divergence - 1) * size


class Standstill(Ramp):
    """A run over the same batches at a rate at which no weight moves: its losses show how hard each batch is."""

    def _rate_at(self, step: int) -> float:
        return 1e-30  # some optimizers divide by the rate

    def _diverges(self) -> bool:
        return False
