"""Recording some steps of a training with the backend's profiler."""

import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import keras

from kertl._checks import complain, whole_numbers
from kertl._events import EventFile
from kertl.diagnosis import STEP, read_profile
from kertl.errors import RunError

_logger = logging.getLogger(__name__)


class Profiler(keras.callbacks.Callback):
    """Records some steps with the profiler of TensorFlow or JAX, and says where their time goes.

    What it records is in `log_dir/train/plugins/profile/`, where TensorBoard's profile plugin (`pip install xprof`)
    finds it; `kertl.diagnosis.read_profile` says how long a step waits for input and computes, and which operations are
    the slowest. That is logged, and written to TensorBoard as the text "profile".

    Args:
        log_dir: The folder that TensorBoard is shown.
        steps: First and last step that is recorded, counted from 1 in each `fit`; 2 <= first <= last, since the first
            one compiles. Where one call of Keras takes several steps (`steps_per_execution`), calls are counted.

    Raises:
        ValueError: If `steps` is none of these, or the backend is not TensorFlow or JAX.
        RunError: In training, if something else profiles this process, or the files cannot be written.

    Example:
        >>> import tempfile, keras, kertl, numpy as np
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> x, y = np.random.default_rng(0).normal(size=(60, 8)), np.arange(60) % 3
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     profiler = kertl.callbacks.Profiler(folder, steps=(3, 6))
        ...     _ = model.fit(x, y, batch_size=10, callbacks=[profiler], verbose=0)
        ...     kertl.diagnosis.read_profile(folder).steps
        4
    """

    def __init__(self, log_dir: str | Path, *, steps: tuple[int, int] = (10, 20)) -> None:
        super().__init__()
        self.log_dir, self.steps = str(log_dir), check_profile_steps("steps", steps)
        if keras.backend.backend() not in ("tensorflow", "jax"):
            raise complain("keras.backend", "tensorflow or jax, which have a profiler", keras.backend.backend())
        self._calls, self._recording = 0, False
        self._mark: AbstractContextManager[Any] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Count from here."""
        self._calls = 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Begin to record, and mark the step."""
        self._calls += 1
        if self._calls == self.steps[0]:
            self._start()
        if self._recording:
            self._mark = _marked(self._calls)
            self._mark.__enter__()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """End the mark, and stop after the last step."""
        if self._mark is not None:
            self._mark.__exit__(None, None, None)
            self._mark = None
        if self._recording and self._calls >= self.steps[1]:
            self._stop()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop where there were fewer steps; say so if there was none."""
        if self._recording:
            self._stop()
        elif self._calls < self.steps[0]:
            _logger.warning("Nothing was profiled: there were %d steps, fewer than %d.", self._calls, self.steps[0])

    def _start(self) -> None:
        folder = str(Path(self.log_dir) / "train")
        try:
            if keras.backend.backend() == "jax":
                import jax

                jax.profiler.start_trace(folder)
            else:
                import tensorflow as tf

                tf.profiler.experimental.start(folder)
        except Exception as error:  # each backend has its own
            raise RunError(
                f"The profiler does not start: {error} Only one thing at a time can profile a process.", code="setup"
            ) from error
        self._recording = True

    def _stop(self) -> None:
        self._recording = False
        if keras.backend.backend() == "jax":
            import jax

            jax.profiler.stop_trace()
        else:
            import tensorflow as tf

            tf.profiler.experimental.stop()
        found = read_profile(Path(self.log_dir) / "train")
        _logger.info("Profile of steps %d to %d: %s", self.steps[0], self._calls, found.sentence)
        file = EventFile(Path(self.log_dir) / "train")
        file.text("profile", f"```\n{found.table()}```", self._calls)
        file.flush()


def check_profile_steps(argument: str, steps: Any) -> tuple[int, int]:
    """`steps` if they are the first and the last one of a window.

    Raises:
        ValueError: If they are not.
    """
    window = whole_numbers(steps, 2)
    if window is None or not 2 <= window[0] <= window[1]:
        raise complain(argument, "the first and the last step to record, with 2 <= first <= last", steps, code="range")
    return window[0], window[1]


def _marked(number: int) -> AbstractContextManager[Any]:
    """Marks a step in the trace."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.profiler.StepTraceAnnotation(STEP, step_num=number)
    import tensorflow as tf

    return tf.profiler.experimental.Trace(STEP, step_num=number, _r=1)
