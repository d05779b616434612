"""What a model knows beyond its layers: its task, its classes, where it came from."""

from dataclasses import asdict, dataclass
from typing import Any

import keras

from kertl._checks import complain

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class ModelInfo:
    """Stored in the member `kertl.json` of a `.keras` file, which Keras passes over.

    Attributes:
        task: "single_label", "binary", "multi_label" or "regression".
        class_names: One name per output, for "binary" the two classes; empty where outputs have no names.
        backbone: What the backbone is called.
        kertl: Version of kertl that built the model.
        thresholds: For "binary" and "multi_label", the probability from which on each output counts as an answer;
            empty before `kertl.tune_thresholds`, which means 0.5.
    """

    task: str
    class_names: tuple[str, ...]
    backbone: str
    kertl: str
    thresholds: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values; thresholds only where there are any."""
        values = asdict(self)
        return values if self.thresholds else {name: value for name, value in values.items() if name != "thresholds"}

    @classmethod
    def from_json(cls, values: Any) -> "ModelInfo":
        """From JSON values; what other versions may have added is passed over.

        Raises:
            ValueError: If they are not what `to_json` gives.
        """
        wanted = {"task": str, "class_names": list, "backbone": str, "kertl": str}
        if not isinstance(values, dict) or not all(isinstance(values.get(k), kind) for k, kind in wanted.items()):
            raise complain("kertl.json", f"an object with {', '.join(wanted)}", values)
        thresholds = values.get("thresholds", [])
        if not isinstance(thresholds, list) or not all(map(_is_probability, thresholds)):
            raise complain("kertl.json", "an object whose thresholds are numbers from 0 to 1", values)
        names = tuple(values["class_names"])
        return cls(values["task"], names, values["backbone"], values["kertl"], tuple(map(float, thresholds)))


def model_info(model: keras.Model) -> ModelInfo | None:
    """What `kertl.build` or `kertl.load` noted about `model`; None for a model from elsewhere."""
    info = getattr(model, "_kertl_info", None)
    return info if isinstance(info, ModelInfo) else None


def set_model_info(model: keras.Model, info: ModelInfo) -> keras.Model:
    """Note what is known about `model`, in memory; the same model."""
    model._kertl_info = info
    return model


def _is_probability(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1
