"""Watching a training in TensorBoard, by layer group, on every backend."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl import _checks
from kertl._checks import integer, number
from kertl._events import EventFile, session_end, session_start
from kertl.callbacks._by_group import (
    Measured,
    change_ratios,
    layers_by_group,
    norms,
    present_rate,
    rates,
    trained_by_group,
    values_by_group,
)
from kertl.callbacks._health import GradientHealth
from kertl.callbacks._held import HeldExamples, held_examples
from kertl.callbacks._judged import SHOWN, write_predictions
from kertl.callbacks._pictures import encoded, grid
from kertl.callbacks._probe import Probe, can_probe, has_replicas
from kertl.callbacks._spending import Spending
from kertl.groups import LayerGroup

_logger = logging.getLogger(__name__)
_AT_ONCE = 32
_FIRST_SECONDS = 0.1


class TensorBoard(keras.callbacks.Callback):
    """Writes how a training goes, and how each layer group learns, for TensorBoard.

    | tag | what | when |
    |---|---|---|
    | `epoch_<metric>` | the metrics, in the runs "train" and "validation", as Keras' callback has them | epochs |
    | `learning_rate/<group>` | the learning rate | every `every_steps` steps, and at the end of an epoch |
    | `weight_norm/<group>` | the Euclidean norm of the weights that train | as above |
    | `update_ratio/<group>` | the norm of one step's change of them over theirs; about 1e-3 is usual | steps |
    | `change_ratio/<group>` | the same of several steps, where one call takes several | calls |
    | `gradient_norm/<group>` | the norm of the gradient on 16 held examples, in inference mode | as `weight_norm` |
    | `silent_units/<group>` | share of channels with ReLU that none of these excites | as `weight_norm` |
    | `predictions`, `confusion`, `roc`, `precision_recall/<class>` | of at most 200 held examples | epochs |
    | `training_pictures` | pictures as the model sees them in training | once |

    Steps are those of the optimizer. All but the metrics is measured as often as `overhead` allows. A gradient that
    vanishes or explodes is logged once for each group: a norm above 1000 or no number; or twice in turn less than 1e-5
    of the largest group's, per weight.

    On JAX, what needs the held examples is compiled first, and begins when that is within `overhead`. It is left out
    under several replicas, and gradients are for a model with a `compute_loss` of its own or several outputs.

    Args:
        log_dir: The folder that TensorBoard is shown.
        validation: What predictions and gradients are made for: `(x, y)` as `fit` takes them, batches of both, a
            `kertl.callbacks.HeldExamples`, or a function that gives one of these, called when it is needed first. None
            leaves out what needs it.
        class_names: Names of the classes or targets.
        every_steps: Steps from one measurement of the groups to the next; >= 1.
        groups: The layer groups, as `kertl.layer_groups` gives them. None takes those of the model that is fitted, or
            its layers if it is no chain.
        training_pictures: A function that gives pictures as the model sees them in training, 0..255.
        overhead: Share of the time of training that all this may take, which the first time of something may exceed;
            0 < overhead <= 1, where 1 is no limit.
        first_step: Steps that were made before, such as those of earlier stages; >= 0.
        hparams: Hyperparameters by name, for TensorBoard's table of trainings.

    Raises:
        ValueError: If an argument is outside its range, or `validation` is none of these.
        RunError: In training, if the files cannot be written.

    Example:
        >>> import tempfile, keras, kertl, numpy as np
        >>> layers = [keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3, activation="softmax")]
        >>> model = keras.Sequential([keras.Input((8,)), *layers])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> x, y = np.random.default_rng(0).normal(size=(60, 8)), np.arange(60) % 3
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     board = kertl.callbacks.TensorBoard(folder, validation=(x, y))
        ...     _ = model.fit(x, y, validation_data=(x, y), epochs=2, callbacks=[board], verbose=0)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['train', 'validation']
    """

    def __init__(
        self,
        log_dir: str | Path,
        *,
        validation: Any = None,
        class_names: Sequence[str] = (),
        every_steps: int = 100,
        groups: Sequence[LayerGroup] | None = None,
        training_pictures: Callable[[], np.ndarray] | None = None,
        overhead: float = 0.02,
        first_step: int = 0,
        hparams: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.log_dir = str(log_dir)
        self.every_steps = integer("every_steps", every_steps, at_least=1)
        self.first_step = integer("first_step", first_step, at_least=0)
        self.hparams = hparams
        self._spending = Spending(number("overhead", overhead, above=0, at_most=1))
        self._given, self._class_names, self._given_groups = validation, _checks.class_names(class_names) or (), groups
        self._training_pictures = training_pictures
        self._held: HeldExamples | None = None
        self._probe: Probe | None = None
        self._calls, self._call_seconds = 0, 0.0
        self._before: dict[str, list[np.ndarray]] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        folder = Path(self.log_dir)
        self._train, self._validation = EventFile(folder / "train"), EventFile(folder / "validation")
        self._home = EventFile(folder)
        if self.hparams is not None:
            self._home.summary(session_start(self.log_dir, self.hparams))
        self._probe, self._before, self._calls, self._looked_at = None, None, 0, -1
        self._spending.begin()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the weights before a step that is measured."""
        self._started = time.perf_counter()
        # The first call of a `fit` compiles, and where a run resumes it is made again.
        if self._calls and self._is_due(batch) and self._spending.allows("weights"):
            with self._spending.on("copies"):
                self._sync()
                self._before, self._step_before = values_by_group(self._variables), self._step()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure the step."""
        if not self._calls:
            self._compiled = time.perf_counter()
            self._call_seconds = self._compiled - self._started
            self._find_groups()  # a subclassed model has no weights before
        self._calls += 1
        if self._before is None:
            return
        before, self._before = self._before, None
        with self._spending.on("weights"):
            self._sync()
            values, steps = values_by_group(self._variables), self._step() - self._step_before
            tag = "update_ratio" if steps == 1 else "change_ratio"
            self._write_groups({tag: change_ratios(before, values)})
        if not self._is_last(batch):
            self._look_at_groups(values)
            self._flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the metrics, and look at the held examples."""
        rate = present_rate(self.model.optimizer)
        named = {} if rate is None else {"learning_rate": rate}
        for name, value in {**named, **(logs or {})}.items():
            file = self._validation if name.startswith("val_") else self._train
            file.scalar(f"epoch_{name.removeprefix('val_')}", float(value), epoch)
        if self._training_pictures is not None and self._spending.allows("pictures", self._at_first(1)):
            with self._spending.on("pictures"):
                pictures, self._training_pictures = self._training_pictures()[:SHOWN], None
                self._train.picture("training_pictures", *encoded(grid(pictures), "JPEG"), epoch)
        if self._looks and self._spending.allows("predictions", self._at_first(4)):
            with self._spending.on("predictions"):
                held = self._examples()
                write_predictions(self._validation, held, self._predictions(held), epoch)
        self._look_at_groups()
        self._flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write what is left."""
        if self.hparams is not None:
            self._home.summary(session_end())
        self._flush()

    def _find_groups(self) -> None:
        self._layers = layers_by_group(self.model, self._given_groups)
        self._variables = trained_by_group(self.model, self._layers)
        sizes = {name: sum(int(np.prod(one.shape)) for one in own) for name, own in self._variables.items()}
        self._health = GradientHealth(sizes)

    def _flush(self) -> None:
        for file in (self._home, self._train, self._validation):
            file.flush()

    def _is_due(self, batch: int) -> bool:
        """Whether a step is measured: every so many, and the last one of an epoch."""
        return self._is_last(batch + self.model.steps_per_execution - 1) or self._calls % self.every_steps == 0

    def _is_last(self, batch: int) -> bool:
        """Whether a call that ends with this batch is the last one of an epoch."""
        steps = self.params.get("steps")
        return steps is not None and batch + 1 >= steps

    def _look_at_groups(self, values: dict[str, list[np.ndarray]] | None = None) -> None:
        """Write what can be said of the groups at any step, once for each."""
        step = self._step()
        if step == self._looked_at or not self._spending.allows("norms"):
            return
        self._looked_at = step
        with self._spending.on("norms"):
            found = norms(values_by_group(self._variables) if values is None else values)
            rate = rates(self.model.optimizer, list(self._variables))
            self._write_groups({"weight_norm": found, "learning_rate": rate})
        self._measure_gradients()

    def _measure_gradients(self) -> None:
        """Measure the gradients, and say which vanish or explode."""
        if not (self._looks and self._variables and can_probe(self.model)):
            return
        if not self._spending.allows("gradients", self._at_first(2)):
            return
        with self._spending.on("gradients"):
            if self._probe is None:
                held = self._examples()
                self._probe = Probe(self.model, self._layers, self._variables, held.x, held.y)
            gradients, silent = self._probe()
            self._write_groups({"gradient_norm": gradients, "silent_units": silent})
        for finding in self._health.findings(gradients):
            _logger.warning("%s", finding)
            self._train.text("findings", finding, self._step())

    def _write_groups(self, measured: dict[str, Measured]) -> None:
        step = self._step()
        for tag, numbers in measured.items():
            for name, value in numbers.items():
                self._train.scalar(f"{tag}/{name}", value, step)

    def _examples(self) -> HeldExamples:
        if self._held is None:
            self._held = held_examples(self._given, self._class_names)
        return self._held

    def _predictions(self, held: HeldExamples) -> np.ndarray:
        """The model's predictions in inference mode; where that is not compiled, a few at a time."""
        if keras.backend.backend() != "tensorflow":
            return np.asarray(self.model.predict_on_batch(held.x))
        parts = []
        for start in range(0, len(held.y), _AT_ONCE):
            here = slice(start, start + _AT_ONCE)
            x = keras.tree.map_structure(lambda array, here=here: array[here], held.x)
            parts.append(keras.ops.convert_to_numpy(self.model(x, training=False)))
        return np.concatenate(parts)

    @property
    def _looks(self) -> bool:
        """Whether there is something to look at the model with, and it can be called."""
        return self._given is not None and not has_replicas(self.model)

    def _at_first(self, calls: int) -> float:
        """Seconds that something is taken to need at first: as many as so many calls of the training step.

        Where it is compiled, at least as many as for the first step.
        """
        later = (time.perf_counter() - self._compiled) / (self._calls - 1) if self._calls > 1 else self._call_seconds
        compiling = 0.0 if keras.backend.backend() == "tensorflow" else self._call_seconds
        return max(_FIRST_SECONDS, calls * later, compiling)

    def _step(self) -> int:
        """Steps of the optimizer so far, with those from before."""
        taken = getattr(getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer), "iterations", None)
        return self.first_step + (self._calls if taken is None else int(keras.ops.convert_to_numpy(taken)))

    def _sync(self) -> None:
        """Update the variables if the backend keeps them elsewhere during `fit`."""
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
