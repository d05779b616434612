"""`LRRangeTest`: the learning-rate range test as a callback for any `fit`."""

import logging
from collections.abc import Callable
from typing import Any

from kertl._checks import complain
from kertl.range_test._borrowed import Borrowed
from kertl.range_test._ramp import FEWEST_STEPS, Ramp
from kertl.range_test._result import RangeTest

_logger = logging.getLogger(__name__)


class LRRangeTest(Ramp):
    """Raises the learning rate from step to step of a `fit`, and restores the model afterwards.

    The rate of step i of n, counted from 0, is `start * (end / start) ** (i / (n - 1))`, or on a straight line
    `start + (end - start) * i / (n - 1)`. The loss of a step's own batch is smoothed by `m = s * m + (1 - s) * loss`,
    divided by `1 - s ** (i + 1)`.

    Weights, optimizer (moments, step count, rate or schedule), metrics, seed generators, and the random state of
    Python, numpy and Keras are restored bit for bit when `fit` ends, even by an exception or Ctrl-C; only if another
    callback raises, call `restore()`. Any loss, optimizer, precision, strategy and backend will do. If an optimizer has
    several rates, the highest is set and the others keep their ratio to it. State held elsewhere is not restored: that
    of other callbacks, and the order of a shuffled `tf.data.Dataset`.

    If losses are noisy, `kertl.lr_range_test` detects a fall more reliably, and gives the median of several runs; on
    the same model the two agree up to that noise. A rate found here is for this model, as compiled: `kertl lr-find`
    and `learning_rate="auto"` test a stage of kertl instead, with its head, optimizer and loss.

    Args:
        start: Lowest learning rate; > 0.
        end: Highest learning rate; > start.
        steps: Optimizer steps from `start` to `end`; >= 20. If `fit` goes through fewer batches, it is as many steps as
            these, which is logged, since a callback cannot make `fit` use its data again: raise its `epochs` for more,
            or call `kertl.lr_range_test`, which does.
        ramp: "exponential" or "linear".
        smoothing: s; 0 <= smoothing < 1.
        divergence: The test stops when the smoothed loss is this many times its best; > 1. It also stops at a loss that
            is NaN or infinite, which is not recorded.

    Attributes:
        result: The result, once `fit` is over; None before.

    Raises:
        ValueError: If an argument is outside the range given above; when `fit` begins, if the model has no weights
            yet or `fit` has fewer than 20 batches.

    Example:
        >>> import keras, kertl, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> before = model.get_weights()
        >>> test = kertl.LRRangeTest()
        >>> history = model.fit(x, x.sum(1), batch_size=64, epochs=25, callbacks=[test], verbose=0)
        >>> bool(1e-3 < test.result.suggestion < 1), np.array_equal(before[0], model.get_weights()[0])
        (True, True)

    Reference:
        Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, section 3.3, which ramps linearly.
        https://arxiv.org/abs/1506.01186. The exponential ramp, smoothing, stopping rule and defaults are fastai's,
            except for its smoothing of 0.98, which lags by half of the test.
            https://docs.fast.ai/callback.schedule.html
    """

    result: RangeTest | None = None
    _borrowed: Borrowed | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Save everything, and begin."""
        per_epoch = self.params.get("steps")  # None if the data does not say
        batches = self.asked if per_epoch is None else per_epoch * self.params["epochs"]
        if batches < FEWEST_STEPS:
            advice = f"Call `fit` with `epochs={-(-self.asked // per_epoch)}`."
            raise complain("steps", f"at most {batches}, the batches of `fit`", self.asked, advice)
        self.steps = min(self.asked, batches)
        if self.steps < self.asked:
            _logger.warning("`fit` has %d batches, so the range test has as many steps, not %d.", batches, self.asked)
        super().on_train_begin(logs)
        self.result, self._borrowed = None, Borrowed(self.model)
        self.rates = self._borrowed.rates
        self.model.make_train_function()
        self.model.train_function = self._restoring(self.model.train_function)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Restore everything."""
        self.restore()
        self.result = RangeTest([self.curve()])

    def restore(self) -> None:
        """Restore the model; does nothing if that has been done."""
        borrowed, self._borrowed = self._borrowed, None
        if borrowed is not None:
            borrowed.give_back()

    def _restoring(self, train_function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, which restores everything if it, or the data that it reads, raises.

        `fit` tells its callbacks nothing of an exception.
        """

        def step(*arguments: Any) -> Any:
            try:
                return train_function(*arguments)
            except StopIteration:  # the end of an epoch
                raise
            except BaseException:
                self.restore()
                raise

        return step
