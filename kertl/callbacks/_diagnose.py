"""Saying what a training shows while there is time to stop it."""

import logging
from typing import Any

import keras

from kertl._checks import integer
from kertl.diagnosis import INFERENCE, Diagnosis, Known
from kertl.diagnosis import Watch as _Watch

_logger = logging.getLogger(__name__)


class Diagnose(keras.callbacks.Callback):
    """Diagnoses the training after each epoch, and logs a warning when something is worth stopping for.

    That is divergence, a rate that is too high or too low, vanishing gradients, one class for all images, BatchNorm
    that disagrees with itself, or overfitting; from the fifth epoch on, if two epochs in a row show it, and once.

    Args:
        images: Some images that are trained on, with labels, as the model's `evaluate` takes them: `(x, y)` or a
            dataset. They are evaluated in inference mode after each epoch, and the history gets `inference_loss` and
            the like, which tells BatchNorm trouble from overfitting. None leaves that out.
        task: As in `kertl.diagnose`.
        classes: As in `kertl.diagnose`.
        validation_images: As in `kertl.diagnose`.

    Attributes:
        diagnosis: The diagnosis after the last epoch; None before the first.

    Example:
        >>> import keras, numpy as np, kertl
        >>> x, y = np.zeros((8, 2)), np.zeros(8)
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> says = kertl.callbacks.Diagnose()
        >>> _ = model.fit(x, y, epochs=2, callbacks=[says], verbose=0)
        >>> says.diagnosis.verdict
        'no_validation'
    """

    def __init__(
        self,
        images: Any = None,
        *,
        task: str | None = None,
        classes: int | None = None,
        validation_images: int | None = None,
    ) -> None:
        super().__init__()
        if validation_images is not None:
            integer("validation_images", validation_images, at_least=1)
        self._images = images
        self._watch = _Watch(Known(task=task, classes=classes, validation_images=validation_images))
        self._rows: list[dict[str, float]] = []
        self._stage, self._optimizer = -1, None

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The diagnosis after the last epoch; None before the first."""
        return self._watch.diagnosis

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """A `fit` with another optimizer is another stage."""
        if self.model.optimizer is not self._optimizer:
            self._stage, self._optimizer = self._stage + 1, self.model.optimizer

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure what was asked for, and say what is new."""
        logs = {} if logs is None else logs
        if self._images is not None:
            given = self._images if isinstance(self._images, tuple) else (self._images,)
            found = self.model.evaluate(*given, verbose=0, return_dict=True)
            logs.update({f"{INFERENCE}{name}": float(value) for name, value in found.items()})
        numbers = {name: float(value) for name, value in logs.items()}
        rate = getattr(self.model.optimizer, "learning_rate", None)  # Keras' MultiOptimizer has none
        if rate is not None:
            numbers["learning_rate"] = float(keras.ops.convert_to_numpy(rate))
        self._rows.append({"stage": self._stage, **numbers})
        said = self._watch.look(self._rows, int(self.params.get("epochs") or 0) - epoch - 1)
        if said is not None:
            _logger.warning("%s", said)

    def get_state(self) -> dict[str, Any]:
        """The epochs so far, and what has been said."""
        return {"rows": self._rows, "stage": self._stage, **self._watch.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on after them."""
        self._rows, self._stage = list(state["rows"]), state["stage"]
        self._watch.set_state(state)
