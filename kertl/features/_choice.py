"""Which engine runs a prefix: a rule, not a stopwatch, so that two runs agree."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import logging
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl.errors import ArgumentError
from kertl.features._engines import Engine, keras_engine
from kertl.features._openvino import OpenVinoEngine, obstacle
from kertl.hardware import devices
from kertl.model import computing_in
from kertl.run_files import read_json, write_json

_logger = logging.getLogger(__name__)

# How much OpenVINO's features of a batch may differ from Keras', as the norm of the difference relative to the norm.
# After a trained MobileNetV2 each of the two differed by 4e-6 from the same forward pass in float64. bfloat16 has 8
# bits, an error of 0.4 % of each number, which grows from layer to layer.
BOUNDS = {"float32": 1e-5, "mixed_bfloat16": 0.1}

_LAST: weakref.WeakKeyDictionary[keras.Model, tuple[Any, "Engines"]] = weakref.WeakKeyDictionary()
"""The engines of the last extraction from each model that is in use."""

_TOLD: set[tuple[str, int, str, str]] = set()
"""The choices that were logged."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """An engine by name, and why it was chosen."""

    name: str
    reason: str


class Engines:
    """The engines of one prefix, each made when it is first asked for.

    Args:
        model: The model that begins with the prefix.
        prefix: The prefix.
        shape: Shape of every batch.
        dtype: Type of every batch.
        precision: What to compute in, as in `kertl.Recipe`.
    """

    def __init__(
        self, model: keras.Model, prefix: keras.Model, shape: tuple[int, ...], dtype: Any, precision: str
    ) -> None:
        self._model, self._prefix = weakref.ref(model), prefix
        self._shape, self._dtype, self.precision = shape, np.dtype(dtype), precision
        self._made: dict[tuple[str, str], Engine] = {}

    def choose(self, wanted: str, record: Path | None = None) -> Choice:
        """The engine to use.

        Args:
            wanted: "keras", "openvino", or "auto" for the rule.
            record: A file that keeps the rule's choice, so that it is the same the next time.

        Raises:
            ValueError: If "openvino" is wanted and is not available, or differs from Keras by more than the bound.
        """
        if wanted == "keras":
            return Choice("keras", "asked for")
        why_not = obstacle(self.precision)
        choice = Choice("keras", why_not) if why_not else _recorded(record) or self._by_agreement(record)
        if wanted == "auto":
            self._tell(choice)
        elif choice.name != wanted:
            raise ArgumentError(
                f"`engine` must be one that can run the model here. Received: engine='openvino', but {choice.reason}. "
                "Pass engine='auto' or 'keras'."
            )
        return choice

    def _tell(self, choice: Choice) -> None:
        """Log a choice, once for each boundary and precision."""
        told = (self._prefix.name, len(self._prefix.weights), self.precision, choice.name)
        if told not in _TOLD:
            _TOLD.add(told)
            _logger.info("Features are extracted by %s: %s.", choice.name, choice.reason)

    def engine(self, name: str) -> Engine:
        """The engine of a name."""
        return self._engine(name, self.precision)

    def _engine(self, name: str, precision: str) -> Engine:
        if (name, precision) not in self._made:
            if name == "openvino":
                made: Engine = OpenVinoEngine(self._traced, precision)
            else:
                with computing_in(self._model(), precision):
                    made = keras_engine(self._prefix, self._shape, self._dtype)
            self._made[name, precision] = made
        return self._made[name, precision]

    @property
    def _traced(self) -> Any:
        """Keras' engine in float32, from which OpenVINO's is made and with which it is compared."""
        return self._engine("keras", "float32")

    def _by_agreement(self, record: Path | None) -> Choice:
        if record is not None:
            write_json(record, dataclasses.asdict(self._compared))
        return self._compared

    @functools.cached_property
    def _compared(self) -> Choice:
        """OpenVINO if it agrees with Keras on a batch of noise, which is the same each time."""
        random = np.random.default_rng(0)
        batch = random.integers(0, 256, self._shape).astype(self._dtype)
        bound = BOUNDS[self.precision]
        try:
            ours = _outputs(self.engine("openvino"), batch)
        except Exception as error:  # whatever the converter fails on, Keras can do
            reason = f"OpenVINO cannot run the model ({type(error).__name__}: {str(error).partition(chr(10))[0][:200]})"
            return Choice("keras", reason)
        theirs = _outputs(self._traced, batch)
        difference = max(
            float(np.linalg.norm(one - other) / max(float(np.linalg.norm(other)), 1e-30))
            for one, other in zip(ours, theirs, strict=True)
        )
        if difference <= bound:
            return Choice("openvino", f"on a CPU, and it differs from Keras by {difference:.0e}, at most {bound:.0e}")
        return Choice("keras", f"OpenVINO differs from it by {difference:.0e}, more than {bound:.0e}")


def engines_of(
    model: keras.Model, prefix: keras.Model, key: str | None, shape: tuple[int, ...], dtype: Any, precision: str
) -> Engines:
    """The engines of a prefix: those made for the last extraction from the model, if nothing has changed since.

    So the parts of a data set are extracted one after the other with one engine. An engine computes with the variables
    it was made for, and with the values they had; so both must be unchanged.
    """
    same = (key, [id(weight) for weight in prefix.weights], shape, np.dtype(dtype), precision)
    before = _LAST.get(model)
    if before is None or key is None or before[0] != same:
        _LAST[model] = before = same, Engines(model, prefix, shape, dtype, precision)
    return before[1]


def identity(name: str, precision: str) -> dict[str, str]:
    """What the features depend on in an engine."""
    where = {"backend": keras.backend.backend(), "device": devices()[0].partition(":")[0]}
    if name == "openvino":
        installed = importlib.util.find_spec("openvino") is not None
        where = {"version": importlib.metadata.version("openvino") if installed else "none"}
    return {"engine": name, "precision": precision, "keras": keras.__version__, **where}


def _recorded(record: Path | None) -> Choice | None:
    """The choice that was made before."""
    if record is None or not record.exists():
        return None
    try:
        choice = Choice(**read_json(record))
    except (ValueError, TypeError):  # damaged: the rule is asked again
        return None
    return choice if choice.name in ("keras", "openvino") else None


def _outputs(engine: Engine, batch: np.ndarray) -> list[np.ndarray]:
    return [np.asarray(output, np.float32) for output in engine.fetch(engine.run(engine.send(batch)))]
