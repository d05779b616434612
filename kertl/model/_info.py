"""What a model knows beyond its layers: its task, its classes, where it came from."""

from dataclasses import asdict, dataclass
from typing import Any

import keras

from kertl._checks import complain


@dataclass(frozen=True)
class ModelInfo:
    """Stored in the member `kertl.json` of a `.keras` file, which Keras passes over.

    Attributes:
        task: "single_label", "multi_label" or "regression".
        class_names: One name per output; empty where outputs have no names.
        backbone: What the backbone is called.
        kertl: Version of kertl that built the model.
    """

    task: str
    class_names: tuple[str, ...]
    backbone: str
    kertl: str

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "ModelInfo":
        """From JSON values; what other versions may have added is passed over.

        Raises:
            ValueError: If they are not what `to_json` gives.
        """
        wanted = {"task": str, "class_names": list, "backbone": str, "kertl": str}
        if not isinstance(values, dict) or not all(isinstance(values.get(k), kind) for k, kind in wanted.items()):
            raise complain("kertl.json", f"an object with {', '.join(wanted)}", values)
        return cls(values["task"], tuple(values["class_names"]), values["backbone"], values["kertl"])


def model_info(model: keras.Model) -> ModelInfo | None:
    """What `kertl.build` or `kertl.load` noted about `model`; None for a model from elsewhere."""
    info = getattr(model, "_kertl_info", None)
    return info if isinstance(info, ModelInfo) else None


def set_model_info(model: keras.Model, info: ModelInfo) -> keras.Model:
    """Note what is known about `model`, in memory; the same model."""
    model._kertl_info = info
    return model
